"""Every change of a provisioner job's state, each one a function.

The status is derived from ``started_at``, ``canceled_at``, ``completed_at`` and ``error`` (see
``db.schema.tables.jobs.JOB_STATUS_SQL``); only this module writes those columns. Each function runs
within the caller's transaction and names, in its WHERE, the state and the lease that it
expects: no row matched means that somebody was faster.

``LEGAL_MOVES`` is the whole state machine.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import ConflictError, LeaseLostError, NotFoundError
from db.jobs.leases import Lease
from db.jobs.logs import LOG_SIZE
from db.jobs.results import STORE_RESULT, BuildResult, result_parameters
from db.schema.enums import FailureReason, JobErrorCode, JobStatus, ProvisionerType, Stage
from db.texts import storable

LEGAL_MOVES: Mapping[str, frozenset[tuple[JobStatus, JobStatus]]] = {
    "claim": frozenset({(JobStatus.PENDING, JobStatus.RUNNING)}),
    "requeue": frozenset({(JobStatus.RUNNING, JobStatus.PENDING)}),
    "cancel": frozenset(
        {(JobStatus.PENDING, JobStatus.CANCELED), (JobStatus.RUNNING, JobStatus.CANCELING)}
    ),
    "complete": frozenset(
        # A cancel that comes after everything was applied has come too late.
        {(JobStatus.RUNNING, JobStatus.SUCCEEDED), (JobStatus.CANCELING, JobStatus.SUCCEEDED)}
    ),
    "finish_cancel": frozenset({(JobStatus.CANCELING, JobStatus.CANCELED)}),
    "fail": frozenset(
        {(JobStatus.RUNNING, JobStatus.FAILED), (JobStatus.CANCELING, JobStatus.FAILED)}
    ),
    "expire": frozenset({(JobStatus.PENDING, JobStatus.FAILED)}),
}


def _finish_statement(changes: str) -> TextClause:
    return sql(f"""
        WITH finished AS (
            UPDATE provisioner_jobs
            SET completed_at = now(), updated_at = now(), stage = coalesce(:ended_in, stage),
                {LOG_SIZE} {changes}
            RETURNING id
        ), released AS (
            DELETE FROM leases USING finished WHERE leases.job_id = finished.id
        ), {STORE_RESULT}
        SELECT 1 FROM finished
    """)  # noqa: S608 - made of constants


COMPLETE = _finish_statement("""
    , canceled_at = NULL
    WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NULL
""")
FINISH_CANCEL = _finish_statement("""
    WHERE id = :job_id AND lease_token = :lease_token
      AND completed_at IS NULL AND canceled_at IS NOT NULL
""")
FAIL = _finish_statement("""
    , error = :error, error_code = :error_code, failure_reason = :reason
    WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NULL
""")


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """A job that this worker holds the lease of."""

    lease: Lease
    attempt: int  #: 1 for the first claim
    provisioner: ProvisionerType
    type: str
    queue: str
    queue_wait_s: float  #: from enqueue to this claim
    logs_length: int  #: bytes that an earlier attempt stored
    trace_metadata: dict[str, Any] | None

    @property
    def id(self) -> uuid.UUID:
        """The job's id."""
        return self.lease.job_id


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What a failed job says of itself."""

    message: str
    reason: FailureReason
    code: JobErrorCode | None = None


def claim_job(
    session: Session,
    *,
    queue: str,
    worker_id: uuid.UUID,
    lease: timedelta,
    provisioners: Sequence[ProvisionerType] = tuple(ProvisionerType),
) -> ClaimedJob | None:
    """Claim the best pending job of ``queue``: pending -> running. None when there is none.

    Best is: the lowest priority class, then the lowest fair rank, then the oldest. Claimers do
    not wait for each other.
    """
    row = session.execute(
        sql("""
            WITH best AS (
                SELECT id
                FROM provisioner_jobs
                WHERE queue = :queue
                  AND started_at IS NULL
                  AND completed_at IS NULL
                  AND provisioner = ANY(CAST(:provisioners AS provisioner_type[]))
                ORDER BY priority, fair_rank, created_at, id
                LIMIT 1
                FOR UPDATE SKIP LOCKED
            ), claimed AS (
                UPDATE provisioner_jobs AS job
                SET started_at = now(),
                    updated_at = now(),
                    worker_id = :worker_id,
                    lease_token = :lease_token,
                    attempt = attempt + 1,
                    stage = :stage
                FROM best
                WHERE job.id = best.id
                RETURNING job.*
            ), leased AS (
                INSERT INTO leases (job_id, token, worker_id, expires_at)
                SELECT id, lease_token, worker_id, now() + :lease
                FROM claimed
            ), settled AS (
                -- Waits for whoever stores a recovered state (db.jobs.states), who does not once
                -- this job has begun: so the state that the build then reads is the last one.
                SELECT 1 FROM workspaces WHERE id = (SELECT workspace_id FROM claimed) FOR SHARE
            )
            SELECT id, lease_token, attempt, provisioner, type, queue, logs_length,
                   trace_metadata,
                   extract(epoch FROM started_at - created_at)::float AS queue_wait_s
            FROM claimed
            LEFT JOIN settled ON true
        """),
        {
            "queue": queue,
            "worker_id": worker_id,
            "lease_token": uuid.uuid4(),
            "lease": lease,
            "stage": Stage.SET_UP.value,
            "provisioners": [p.value for p in provisioners],
        },
    ).one_or_none()
    if row is None:
        return None
    return ClaimedJob(
        lease=Lease(row.id, row.lease_token),
        attempt=row.attempt,
        provisioner=ProvisionerType(row.provisioner),
        type=row.type,
        queue=row.queue,
        queue_wait_s=row.queue_wait_s,
        logs_length=row.logs_length,
        trace_metadata=row.trace_metadata,
    )


def enter_stage(session: Session, lease: Lease, *, stage: Stage) -> bool:
    """Record how far the running job is; return whether a cancel was requested meanwhile.

    Raises:
        LeaseLostError: the token is no longer the job's.
    """
    row = session.execute(
        sql("""
            UPDATE provisioner_jobs
            SET stage = :stage, updated_at = now()
            WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NULL
            RETURNING canceled_at IS NOT NULL
        """),
        {**lease.parameters, "stage": stage.value},
    ).one_or_none()
    if row is None:
        raise LeaseLostError(lease.job_id)
    return bool(row[0])


def requeue_job(session: Session, lease: Lease) -> None:
    """Put a job back before it had side effects: running -> pending. The attempt still counts.

    Raises:
        LeaseLostError: the token is no longer the job's, or a cancel was requested.
    """
    requeued = session.execute(
        sql("""
            WITH requeued AS (
                UPDATE provisioner_jobs
                SET started_at = NULL, worker_id = NULL, lease_token = NULL, stage = NULL,
                    updated_at = now()
                WHERE id = :job_id AND lease_token = :lease_token
                  AND completed_at IS NULL AND canceled_at IS NULL
                RETURNING id
            ), released AS (
                DELETE FROM leases USING requeued WHERE leases.job_id = requeued.id
            )
            SELECT 1 FROM requeued
        """),
        lease.parameters,
    ).first()
    if requeued is None:
        raise LeaseLostError(lease.job_id)


def cancel_job(session: Session, *, job_id: uuid.UUID) -> JobStatus:
    """Request the end of a job: pending -> canceled at once, running -> canceling.

    Returns:
        The status after the request.

    Raises:
        NotFoundError: there is no such job.
        ConflictError: the job is finished, or a cancel was already requested.
    """
    row = session.execute(
        sql("""
            UPDATE provisioner_jobs
            SET canceled_at = now(),
                completed_at = CASE WHEN started_at IS NULL THEN now() END,
                updated_at = now()
            WHERE id = :job_id AND completed_at IS NULL AND canceled_at IS NULL
            RETURNING job_status
        """),
        {"job_id": job_id},
    ).one_or_none()
    if row is not None:
        return JobStatus(row[0])
    found = session.execute(
        sql("SELECT completed_at FROM provisioner_jobs WHERE id = :job_id"), {"job_id": job_id}
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"there is no job {job_id}")
    if found.completed_at is not None:
        raise ConflictError("Job has already completed!")
    raise ConflictError("Job has already been marked as canceled!")


def complete_job(session: Session, lease: Lease, *, result: BuildResult) -> None:
    """Finish a job whose work is done, with its result: running or canceling -> succeeded.

    A cancel request that came too late is taken back, since the row is to say what happened.
    Repeating the call after it was committed changes nothing.

    Raises:
        LeaseLostError: the token is no longer the job's.
    """
    _finish(
        session,
        COMPLETE,
        lease,
        **result_parameters(result, succeeded=True),
    )


def finish_cancel_job(session: Session, lease: Lease, *, result: BuildResult) -> None:
    """Finish a job that ended cleanly on request: canceling -> canceled.

    Raises:
        LeaseLostError: the token is no longer the job's, or no cancel was requested.
    """
    _finish(
        session,
        FINISH_CANCEL,
        lease,
        **result_parameters(result, succeeded=False),
    )


def fail_job(
    session: Session,
    lease: Lease,
    *,
    failure: Failure,
    result: BuildResult,
) -> bool:
    """Finish a job with an error, and with what it left behind: running or canceling -> failed.

    Returns:
        Whether this call did it; False when an earlier call with this token had.

    Raises:
        LeaseLostError: the token is no longer the job's.
    """
    return _finish(
        session,
        FAIL,
        lease,
        **_failure_columns(failure),
        **result_parameters(result, succeeded=False),
    )


def expire_job(session: Session, *, job_id: uuid.UUID, failure: Failure) -> bool:
    """Fail a job that nobody claimed in time: pending -> failed. Return whether it still waited."""
    expired = session.execute(
        sql("""
            UPDATE provisioner_jobs
            SET completed_at = now(), updated_at = now(),
                error = :error, error_code = :error_code, failure_reason = :reason
            WHERE id = :job_id AND started_at IS NULL AND completed_at IS NULL
            RETURNING 1
        """),
        {"job_id": job_id, **_failure_columns(failure)},
    ).first()
    return expired is not None


def _finish(
    session: Session,
    statement: TextClause,
    lease: Lease,
    **parameters: object,
) -> bool:
    """Finish the job with its result if the lease is held, and give the lease up.

    Returns False when this very attempt has already finished the job: the answer to its COMMIT
    was lost.
    """
    if session.execute(statement, {**lease.parameters, **parameters}).first() is not None:
        return True
    if _finished_by(session, lease):
        return False
    raise LeaseLostError(lease.job_id)


def _finished_by(session: Session, lease: Lease) -> bool:
    query = sql("""
        SELECT 1 FROM provisioner_jobs
        WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NOT NULL
    """)
    return session.execute(query, lease.parameters).first() is not None


def _failure_columns(failure: Failure) -> dict[str, str | None]:
    return {
        # An empty error would make the job look as if it had succeeded.
        "error": storable(failure.message) or "build failed",
        "error_code": failure.code.value if failure.code else None,
        "reason": failure.reason.value,
    }
