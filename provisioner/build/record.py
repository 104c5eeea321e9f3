"""Writing how a job ended: on its row, and as the last line of its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from sqlalchemy.orm import Session

from db.errors import LeaseLostError
from db.jobs.finish import complete_job, fail_job, finish_cancel_job
from db.jobs.leases import Lease
from db.jobs.logs import LogRow
from db.jobs.results import BuildResult
from db.jobs.transitions import requeue_job
from db.schema.enums import LogLevel
from provisioner.build.attempt import Attempt
from provisioner.build.endings import Canceled, Ending, Lost, Requeued, Succeeded
from provisioner.build.failures import FailedJob


def write_ending(
    session: Session, build: Attempt, ending: Ending, lines: Sequence[LogRow]
) -> Ending:
    """Move the job as the ending says; return the ending that was stored."""

    def whole(result: BuildResult) -> BuildResult:
        return replace(
            result,
            last_lines=lines,
            log_overflowed=build.logs.dropped_lines > 0,
            stage=build.stage,
        )

    match ending:
        case Succeeded(result=result):
            complete_job(session, build.lease, result=whole(result))
        case Canceled(result=result):
            finish_cancel_job(session, build.lease, result=whole(result))
        case Requeued():
            return _requeue_or_cancel(session, build.lease)
        case FailedJob(failure=failure, workspace_build=result):
            assert result is not None
            fail_job(session, build.lease, failure=failure, result=whole(result))
        case Lost():
            pass
        case _:
            assert_never(ending)
    return ending


def _requeue_or_cancel(session: Session, lease: Lease) -> Ending:
    try:
        requeue_job(session, lease)
    except LeaseLostError:
        # Either another attempt holds the job, and this raises again, or it was just canceled.
        finish_cancel_job(session, lease, result=BuildResult())
        return Canceled(result=BuildResult())
    return Requeued()


def with_only_state(ending: Ending) -> Ending:
    """Return the ending without anything but the state that the build left."""
    match ending:
        case Succeeded(result=result) | Canceled(result=result):
            return replace(ending, result=BuildResult(state=result.state))
        case FailedJob(workspace_build=result):
            assert result is not None
            return replace(ending, workspace_build=BuildResult(state=result.state))
        case _:
            return ending


def last_line(ending: Ending, noun: str) -> tuple[LogLevel, str]:
    """Return the level and the text of the last line of the job's log."""
    match ending:
        case Succeeded():
            return LogLevel.INFO, f"The {noun} succeeded."
        case Canceled():
            return LogLevel.INFO, f"The {noun} was canceled."
        case Requeued():
            return LogLevel.WARN, f"The worker shuts down; the {noun} goes back to the queue."
        case Lost():
            return LogLevel.WARN, f"The worker lost its lease on this {noun}."
        case FailedJob(error=error):
            return LogLevel.ERROR, error
        case _:
            assert_never(ending)
