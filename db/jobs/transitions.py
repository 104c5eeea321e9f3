"""The verbs of a job's life before its end: claim, enter a stage, requeue, cancel, expire.

Each verb runs in the caller's transaction. It makes one move of ``db.jobs.moves``, or none if
another transaction was faster. The verbs that finish a job are in ``db.jobs.finish``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import ConflictError, LeaseLostError, NotFoundError
from db.jobs.bindings import NOT_PAUSED, QUEUE_OF_WORKER, SERVED_BY_WORKER
from db.jobs.leases import Lease, held_row
from db.jobs.logs import LOG_SIZE, WAITING_HEADING, daemon_line, insert_lines, log_size
from db.jobs.moves import THE_HELD_JOB, THE_JOB, Moved, Verb, move_job
from db.jobs.results import FAILURE, Failure, failure_columns
from db.schema.enums import JobStatus, LogLevel, ProvisionerType, Stage

# The index over pending rows needs these columns: the guard on the status does not use it.
BEST_OF_QUEUE = f"""
    started_at IS NULL
    AND completed_at IS NULL
    AND queue = :queue
    AND provisioner = ANY(CAST(:provisioners AS provisioner_type[]))
    AND {SERVED_BY_WORKER}
    AND {QUEUE_OF_WORKER}
    AND {NOT_PAUSED.format(queue=":queue")}
    ORDER BY priority, fair_rank, created_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
"""
MOST_DRAINS = 32_767
"""The count of drains stops here, so that an overflow can never fail a job."""

BACK_TO_PENDING = "started_at = NULL, worker_id = NULL, lease_token = NULL, stage = NULL"
NO_ATTEMPT = f"attempt = attempt - 1, drains = least(drains + 1, {MOST_DRAINS})"
# The workspace is locked to wait for a transaction that stores a recovered state (db.jobs.states).
# None does so after this job has started, so the build reads the newest state.
TAKE_LEASE = """
    , settled AS (
        SELECT 1 FROM workspaces WHERE id = (SELECT workspace_id FROM moved) FOR SHARE
    ), leased AS (
        INSERT INTO leases (job_id, token, worker_id, expires_at)
        SELECT id, lease_token, worker_id, now() + :lease FROM moved LEFT JOIN settled ON true
    )
"""


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """A job whose lease this worker holds."""

    lease: Lease
    attempt: int  #: 1 for the first claim; claims that ended by a drain do not count
    drains: int  #: how often a draining worker requeued the job
    provisioner: ProvisionerType
    type: str
    queue: str
    queue_wait_s: float  #: from enqueue to this claim
    logs_length: int  #: bytes that earlier attempts stored
    trace_metadata: Mapping[str, str] | None

    @property
    def id(self) -> uuid.UUID:
        """The job's id."""
        return self.lease.job_id

    @property
    def claim(self) -> int:
        """The number of this claim, different for each claim of the job."""
        return self.attempt + self.drains


def claim_job(
    session: Session,
    *,
    queue: str,
    worker_id: uuid.UUID,
    lease: timedelta,
    provisioners: Sequence[ProvisionerType] = tuple(ProvisionerType),
) -> ClaimedJob | None:
    """Claim the best pending job of ``queue``: pending -> running. Return None if there is none.

    The best job has the lowest priority class, then the lowest fair rank, then the highest age.
    Claims do not wait for each other.
    """
    token = uuid.uuid4()
    moved = move_job(
        session,
        Verb.CLAIM,
        which=BEST_OF_QUEUE,
        changes="""
            started_at = now(), worker_id = :worker_id,
            lease_token = :lease_token, claimed_with = :lease_token,
            attempt = attempt + 1, stage = :stage
        """,
        also=TAKE_LEASE,
        parameters={
            "queue": queue,
            "provisioners": [provisioner.value for provisioner in provisioners],
            "worker_id": worker_id,
            "lease_token": token,
            "stage": Stage.SET_UP.value,
            "lease": lease,
        },
    )
    return _claimed(moved, token) if moved else None


def _claimed(moved: Moved, token: uuid.UUID) -> ClaimedJob:
    return ClaimedJob(
        lease=Lease(moved.job_id, token),
        attempt=moved.attempt,
        drains=moved.drains,
        provisioner=moved.provisioner,
        type=moved.type,
        queue=moved.queue,
        queue_wait_s=moved.age_s,
        logs_length=moved.logs_length,
        trace_metadata=moved.trace_metadata,
    )


def enter_stage(session: Session, lease: Lease, *, stage: Stage) -> bool:
    """Record the stage of a running job; return whether a cancel was requested.

    Raises:
        LeaseLostError: the lease is no longer the job's, or the job is finished.
    """
    row = held_row(
        session,
        lease,
        sql("""
            UPDATE provisioner_jobs
            SET stage = :stage, updated_at = now()
            WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NULL
            RETURNING canceled_at IS NOT NULL AS cancel_requested
        """),
        stage=stage.value,
    )
    return bool(row.cancel_requested)


def requeue_job(session: Session, lease: Lease, *, worker_was_lost: bool = False) -> Moved:
    """Put a job without side effects back: running -> pending.

    If the worker was lost, the attempt counts, because the job may be the cause. Otherwise the
    worker is draining, which has nothing to do with the job, so this counts as a drain instead.

    Raises:
        LeaseLostError: the lease is no longer the job's, or a cancel was requested.
    """
    moved = move_job(
        session,
        Verb.REQUEUE,
        which=THE_HELD_JOB,
        changes=BACK_TO_PENDING if worker_was_lost else f"{BACK_TO_PENDING}, {NO_ATTEMPT}",
        parameters=lease.parameters,
        worker_was_lost=worker_was_lost,
    )
    if moved is None:
        raise LeaseLostError(lease.job_id)
    return moved


def cancel_job(session: Session, *, job_id: uuid.UUID) -> JobStatus:
    """Cancel a job: pending -> canceled at once, running -> canceling until its worker ends it.

    Returns:
        The status after the request.

    Raises:
        NotFoundError: there is no such job.
        ConflictError: the job is finished, or a cancel was already requested.
    """
    moved = move_job(
        session,
        Verb.CANCEL,
        which=THE_JOB,
        changes="""
            canceled_at = now(),
            completed_at = CASE WHEN started_at IS NULL THEN now() END
        """,
        parameters={"job_id": job_id},
    )
    if moved is None:
        raise _refused_cancel(session, job_id)
    return moved.move.after


def _refused_cancel(session: Session, job_id: uuid.UUID) -> ConflictError | NotFoundError:
    found = session.execute(
        sql("SELECT completed_at FROM provisioner_jobs WHERE id = :job_id"), {"job_id": job_id}
    ).one_or_none()
    if found is None:
        return NotFoundError(f"there is no job {job_id}")
    if found.completed_at is not None:
        return ConflictError("Job has already completed!")
    return ConflictError("Job has already been marked as canceled!")


def expire_job(session: Session, *, job_id: uuid.UUID, failure: Failure) -> Moved | None:
    """Fail a job that nobody claimed in time: pending -> failed. None if it is not pending."""
    line = daemon_line(LogLevel.ERROR, failure.message, stage=WAITING_HEADING)
    moved = move_job(
        session,
        Verb.EXPIRE,
        which=THE_JOB,
        changes=f"completed_at = now(), {FAILURE}, {LOG_SIZE}",
        parameters={
            "job_id": job_id,
            **failure_columns(failure),
            **log_size((line,), overflowed=False),
        },
    )
    if moved is not None:
        insert_lines(session, job_id, (line,))
    return moved
