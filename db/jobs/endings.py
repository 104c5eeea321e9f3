"""How a finished job ended, read from its row: for counting what a row says, and only that."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.engine import sql
from db.schema.enums import FailureReason, JobErrorCode, JobStatus, ProvisionerType


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """What a finished job is counted by."""

    provisioner: ProvisionerType
    status: JobStatus
    transition: str  #: empty when it was no workspace build, or could not be read
    template_name: str
    seconds: float | None  #: from the last claim to the end; None when nobody claimed it
    stage: str = ""  #: where it failed
    error_code: JobErrorCode | None = None
    reason: FailureReason | None = None  #: None unless it failed


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A finished row, and whose work that is."""

    job_id: uuid.UUID
    completed_at: datetime  #: the time of the one transaction that finished the job
    lease_token: uuid.UUID | None
    job: EndedJob


def read_ending(session: Session, *, job_id: uuid.UUID) -> Ending | None:
    """Return how the job ended; None when it has not, or is not there."""
    row = session.execute(
        sql("""
            SELECT job.completed_at, job.lease_token, job.provisioner::text,
                   job.job_status::text AS status,
                   coalesce(job.stage, 'pending') AS stage,
                   job.error_code, job.failure_reason,
                   extract(epoch FROM job.completed_at - job.started_at)::float AS seconds,
                   coalesce(build.transition::text, '') AS transition,
                   coalesce(template.name, '') AS template_name
            FROM provisioner_jobs AS job
            LEFT JOIN workspace_builds AS build ON build.job_id = job.id
            LEFT JOIN template_versions AS version ON version.id = build.template_version_id
            LEFT JOIN templates AS template ON template.id = version.template_id
            WHERE job.id = :job_id AND job.completed_at IS NOT NULL
        """),
        {"job_id": job_id},
    ).one_or_none()
    if row is None:
        return None
    return Ending(
        job_id=job_id,
        completed_at=row.completed_at,
        lease_token=row.lease_token,
        job=EndedJob(
            provisioner=ProvisionerType(row.provisioner),
            status=JobStatus(row.status),
            transition=row.transition,
            template_name=row.template_name,
            seconds=row.seconds,
            stage=row.stage,
            error_code=JobErrorCode(row.error_code) if row.error_code else None,
            reason=FailureReason(row.failure_reason) if row.failure_reason else None,
        ),
    )
