"""Waiting for a build by looking at its row."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from chattool.errors import BuildTimeoutError, WorkspaceBuildError
from chattool.settings import ToolSettings
from db.engine import Database
from db.outage import retry_outage
from db.reads.builds import get_build
from db.reads.chats import BuildOutcome, get_build_outcome
from db.reads.contract import WorkspaceBuild
from db.schema.enums import JobStatus


def wait_for_build(
    database: Database, build_id: uuid.UUID, *, settings: ToolSettings | None = None
) -> WorkspaceBuild:
    """Wait until the build has ended, and return it as API readers see it.

    One short look at its row per poll, the first at once. While the database is away, the wait
    goes on.

    Args:
        settings: poll interval and time limit; the defaults are 2 seconds and 10 minutes.

    Raises:
        WorkspaceBuildError: it failed or was canceled; has the row's error and error code.
        BuildTimeoutError: it had not ended within the limit.
        NotFoundError: there is no such build.
    """
    limits = settings or ToolSettings()
    end = time.monotonic() + limits.timeout.total_seconds()
    while (outcome := _look(database, build_id, end)).status.is_active:
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise BuildTimeoutError(_still(outcome.status, limits.timeout))
        time.sleep(min(limits.poll.total_seconds(), left_s))
    if outcome.status is not JobStatus.SUCCEEDED:
        raise WorkspaceBuildError(_failure_text(outcome), outcome.error_code)
    with database.begin() as session:
        return get_build(session, build_id)


def _look(database: Database, build_id: uuid.UUID, end: float) -> BuildOutcome:
    def look() -> BuildOutcome:
        with database.begin() as session:
            return get_build_outcome(session, build_id)

    return retry_outage(look, may_go_on=lambda: time.monotonic() < end)


def _still(status: JobStatus, timeout: timedelta) -> str:
    return (
        f"timed out waiting for workspace build: it is still {status}"
        f" after {timeout.total_seconds():g} seconds; call the tool again to go on waiting"
    )


def _failure_text(outcome: BuildOutcome) -> str:
    match outcome.status:
        case JobStatus.FAILED:
            return outcome.error or "build failed"
        case JobStatus.CANCELED:
            return "build was canceled"
        case _:
            return f"unexpected job status: {outcome.status}"
