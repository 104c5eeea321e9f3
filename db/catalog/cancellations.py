"""Canceling a job by hand, which is recorded in the audit log."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit
from db.engine import sql
from db.jobs.transitions import cancel_job
from db.schema.enums import JobStatus

_CANCELED = sql("""
    SELECT job.organization_id, build.id AS build_id, build.build_number, workspace.name
    FROM provisioner_jobs AS job
    LEFT JOIN workspace_builds AS build ON build.job_id = job.id
    LEFT JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    WHERE job.id = :job_id
""")


def cancel_by_hand(session: Session, job_id: uuid.UUID, *, actor: Actor) -> JobStatus:
    """Cancel a job: at once while it waits, or as soon as its worker can stop it cleanly.

    Returns:
        Its status now: ``canceled`` or ``canceling``.

    Raises:
        NotFoundError: there is no such job.
        ConflictError: it has ended, or is canceled already.
    """
    status = cancel_job(session, job_id=job_id)
    row = session.execute(_CANCELED, {"job_id": job_id}).one()
    resource = ("provisioner_job", job_id, str(job_id))
    if row.build_id is not None:
        resource = ("workspace_build", row.build_id, f"{row.name}/{row.build_number}")
    audit(
        session,
        actor=actor,
        action=AuditAction.CANCEL,
        organization_id=row.organization_id,
        resource=resource,
    )
    return status
