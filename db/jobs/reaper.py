"""The reaper: takes jobs from workers that were lost."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.finish import fail_job, finish_cancel_job
from db.jobs.leases import Lease
from db.jobs.logs import RECOVERY_HEADING, LogRow, append_logs, daemon_line
from db.jobs.moves import Moved
from db.jobs.results import BuildResult, Failure
from db.jobs.states import State
from db.jobs.transitions import requeue_job
from db.schema.enums import FailureReason, JobStatus, LogLevel, Stage

LOST_JOB = """
    SELECT job.id, job.job_status::text AS status, job.stage, job.attempt
    FROM leases
    JOIN provisioner_jobs AS job ON job.id = leases.job_id
"""
LOCKED = "FOR UPDATE OF leases, job"
ABANDONED_AFTER = timedelta(minutes=1)
"""How long a lease has run out if no worker sweeps: each one does every few seconds."""
_LOST_LEASE = "the worker stopped renewing its lease"
FIRST_FREE = f"ORDER BY leases.expires_at LIMIT 1 {LOCKED} SKIP LOCKED"


def reap_expired_lease(session: Session, *, max_attempts: int) -> Moved | None:
    """Take one job from a worker whose lease ran out. Return None if there is none.

    A job has no side effects before apply, so it is requeued; or canceled, if that was requested;
    or failed as a poison job after ``max_attempts``. In apply it is failed, with the newest state
    that its worker stored. Sweepers do not wait for each other.
    """
    lost = session.execute(
        sql(f"{LOST_JOB} WHERE leases.expires_at < now() {FIRST_FREE}")
    ).one_or_none()
    return _close(session, lost, state=None, max_attempts=max_attempts) if lost else None


def reap_abandoned_build(session: Session, *, workspace_id: uuid.UUID) -> Moved | None:
    """End the build of a workspace that no worker is left to sweep. Return None if there is none.

    It is not put back, whatever its stage was.
    """
    lost = session.execute(
        sql(
            f"{LOST_JOB} WHERE job.workspace_id = :workspace_id"
            " AND leases.expires_at < now() - :abandoned_after FOR UPDATE OF job"
        ),
        {"workspace_id": workspace_id, "abandoned_after": ABANDONED_AFTER},
    ).one_or_none()
    return _close(session, lost, state=None, max_attempts=1) if lost else None


def reap_lease(
    session: Session, lease: Lease, *, state: State | None, max_attempts: int
) -> Moved | None:
    """Take a job from a worker that is known to be dead, before its lease runs out.

    Args:
        state: the newest state that was found; stored if the job had reached apply.

    Returns:
        The move of the job; None if the lease is no longer the job's.
    """
    lost = session.execute(
        # No SKIP LOCKED: a row that is only locked must not look like a lost lease.
        sql(f"{LOST_JOB} WHERE job.id = :job_id AND leases.token = :lease_token {LOCKED}"),
        lease.parameters,
    ).one_or_none()
    return _close(session, lost, state=state, max_attempts=max_attempts) if lost else None


def _close(session: Session, lost: Row[Any], *, state: State | None, max_attempts: int) -> Moved:
    stage = Stage(lost.stage)
    lease = _take_over(session, lost.id)
    if stage.has_side_effects:
        return _fail(session, lease, _lost_in_apply(), state=state)
    if lost.status == JobStatus.CANCELING:
        line = _line(LogLevel.INFO, f"{_LOST_LEASE} in stage {stage}; the job was canceled")
        result = BuildResult(last_lines=(line,))
        return finish_cancel_job(session, lease, result=result, worker_was_lost=True)
    if lost.attempt >= max_attempts:
        return _fail(session, lease, _poison(lost.attempt), state=None)
    message = (
        f"{_LOST_LEASE} in stage {stage}, before anything was changed; the job goes back to the"
        f" queue after attempt {lost.attempt} of {max_attempts}"
    )
    append_logs(session, lease, rows=(_line(LogLevel.WARN, message),))
    return requeue_job(session, lease, worker_was_lost=True)


def _fail(session: Session, lease: Lease, failure: Failure, *, state: State | None) -> Moved:
    line = _line(LogLevel.ERROR, failure.message)
    result = BuildResult(state=state, last_lines=(line,))
    return fail_job(session, lease, failure=failure, result=result, worker_was_lost=True)


def _line(level: LogLevel, output: str) -> LogRow:
    return daemon_line(level, output, stage=RECOVERY_HEADING)


def _take_over(session: Session, job_id: uuid.UUID) -> Lease:
    """Give the job a new token, so that writes of the lost worker no longer match."""
    lease = Lease(job_id, uuid.uuid4())
    session.execute(
        sql("UPDATE provisioner_jobs SET lease_token = :lease_token WHERE id = :job_id"),
        lease.parameters,
    )
    return lease


def _lost_in_apply() -> Failure:
    return Failure(
        reason=FailureReason.WORKER_LOST,
        message=f"{_LOST_LEASE} while it applied the plan: it was lost, or"
        " could not reach the database; the newest state that was stored is kept, and the next"
        " build of the workspace starts from it",
    )


def _poison(attempt: int) -> Failure:
    return Failure(
        reason=FailureReason.POISON,
        message=f"{_LOST_LEASE} in the last of {attempt} attempts to run"
        " this job; it will not be tried again",
    )
