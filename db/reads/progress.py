"""How far a job is: what somebody who waits for it reads again and again."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.errors import ConflictError, InvalidError, NotFoundError
from db.schema.enums import JobErrorCode, JobStatus, LogLevel, LogSource

LOG_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class BuildProgress:
    """A build's job as it stands now."""

    status: JobStatus
    stage: str | None
    queue: str
    error: str | None
    error_code: JobErrorCode | None
    daily_cost: int
    quota_budget: int | None  #: of the quota decision, None before it
    quota_credits_consumed: int | None
    workers: int | None  #: live ones that could take it while it is pending, then None


def build_progress(session: Session, job_id: uuid.UUID) -> BuildProgress:
    """Return how far the build's job is.

    Raises:
        NotFoundError: there is no build with such a job.
    """
    row = session.execute(
        text("""
            SELECT job.job_status::text AS status, job.stage, job.queue, job.error, job.error_code,
                   build.daily_cost, build.quota_budget, build.quota_credits_consumed,
                   -- Reads all workers, so only as long as somebody wants to know.
                   CASE WHEN job.job_status = 'pending' THEN (
                       SELECT count(*)
                       FROM live_workers AS worker
                       WHERE worker.takes_jobs
                         AND job.queue = ANY(worker.queues)
                         AND job.provisioner = ANY(worker.provisioners)
                   ) END AS workers
            FROM provisioner_jobs AS job
            JOIN workspace_builds AS build ON build.job_id = job.id
            WHERE job.id = :job_id
        """),
        {"job_id": job_id},
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no build with the job {job_id}")
    fields = row._asdict()
    code = fields.pop("error_code")
    return BuildProgress(
        **{**fields, "status": JobStatus(fields["status"])},
        error_code=JobErrorCode(code) if code else None,
    )


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line of a job's log, named as in the JSON of the system that we follow."""

    id: int
    created_at: datetime
    log_source: LogSource
    log_level: LogLevel
    stage: str
    output: str


def job_logs(
    session: Session, *, job_id: uuid.UUID, after: int = 0, limit: int = LOG_PAGE
) -> list[LogLine]:
    """Return the lines that follow the line ``after``, in order."""
    rows = session.execute(
        text("""
            SELECT id, created_at, source, level, stage, output
            FROM provisioner_job_logs
            WHERE job_id = :job_id AND id > :after
            ORDER BY id
            LIMIT :limit
        """),
        {"job_id": job_id, "after": after, "limit": limit},
    )
    return [
        LogLine(
            id=row.id,
            created_at=row.created_at,
            log_source=LogSource(row.source),
            log_level=LogLevel(row.level),
            stage=row.stage,
            output=row.output,
        )
        for row in rows
    ]


def find_job(session: Session, prefix: str) -> uuid.UUID:
    """Return the id of the build's job that begins with ``prefix``.

    Raises:
        InvalidError: no id can begin like this.
        NotFoundError: none does.
        ConflictError: several do.
    """
    digits = prefix.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]{1,32}", digits):
        raise InvalidError(f"{prefix!r} is no job: give its id or the beginning of it")
    # A range over the primary key: a comparison as text would read every row.
    found = (
        session.execute(
            text("""
            SELECT id FROM provisioner_jobs
            WHERE id BETWEEN :first AND :last AND type = 'workspace_build'
            LIMIT 2
        """),
            {
                "first": uuid.UUID(digits.ljust(32, "0")),
                "last": uuid.UUID(digits.ljust(32, "f")),
            },
        )
        .scalars()
        .all()
    )
    if not found:
        raise NotFoundError(f"there is no job {prefix}; `provisionerd jobs list` shows them")
    if len(found) > 1:
        raise ConflictError(f"several jobs begin with {prefix}; give more of the id")
    return uuid.UUID(str(found[0]))


@dataclass(frozen=True, kw_only=True)
class QueuePlace:
    """Where a pending job stands among those of its queue; 1 is claimed next."""

    position: int
    size: int


def queue_place(session: Session, job_id: uuid.UUID) -> QueuePlace | None:
    """Return the job's place in its queue, or None when it is not pending."""
    row = session.execute(
        text("""
            SELECT count(*) FILTER (
                       WHERE (other.priority, other.fair_rank, other.created_at, other.id)
                          <= (mine.priority, mine.fair_rank, mine.created_at, mine.id)
                   ) AS position,
                   count(*) AS size
            FROM provisioner_jobs AS mine
            JOIN provisioner_jobs AS other ON other.queue = mine.queue
            WHERE mine.id = :job_id
              AND mine.started_at IS NULL AND mine.completed_at IS NULL
              AND other.started_at IS NULL AND other.completed_at IS NULL
        """),
        {"job_id": job_id},
    ).one()
    return QueuePlace(position=row.position, size=row.size) if row.size else None
