"""The progress of a job, read at each poll while somebody waits for it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.errors import NotFoundError
from db.reads.serving import SERVES
from db.schema.enums import JobErrorCode, JobStatus


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """The current progress of a job; costs and quota are those of a build."""

    status: JobStatus
    stage: str | None
    queue: str
    error: str | None
    error_code: JobErrorCode | None
    daily_cost: int
    quota_budget: int | None  #: of the quota decision; None before it
    quota_credits_consumed: int | None
    workers: int | None  #: number of live workers that may claim it; None unless pending
    is_paused: bool = False  #: it waits, and its queue is paused
    tags: Mapping[str, str] = field(default_factory=dict)


def job_progress(session: Session, job_id: uuid.UUID) -> JobProgress:
    """Return the current progress of the job.

    Raises:
        NotFoundError: there is no such job.
    """
    row = session.execute(
        text(f"""
            SELECT job.job_status::text AS status, job.stage, job.queue, job.tags,
                   job.error, job.error_code,
                   coalesce(build.daily_cost, 0) AS daily_cost,
                   build.quota_budget, build.quota_credits_consumed,
                   -- Reads all workers, so only while the answer matters.
                   CASE WHEN job.job_status = 'pending' THEN (
                       SELECT count(*)
                       FROM live_workers AS worker
                       WHERE worker.takes_jobs AND {SERVES}
                   ) END AS workers,
                   job.job_status = 'pending' AND EXISTS (
                       SELECT 1
                       FROM queue_pauses AS pause
                       WHERE pause.queue = job.queue AND pause.resumed_at IS NULL
                   ) AS is_paused
            FROM provisioner_jobs AS job
            LEFT JOIN workspace_builds AS build ON build.job_id = job.id
            WHERE job.id = :job_id
        """),  # noqa: S608 - made of constants
        {"job_id": job_id},
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    fields = row._asdict()
    code = fields.pop("error_code")
    return JobProgress(
        **{**fields, "status": JobStatus(fields["status"])},
        error_code=JobErrorCode(code) if code else None,
    )
