"""What there is, for people who look: rows of the tables joined with the names that they mean.

Every function returns at most ``limit`` rows, so that no table is ever read as a whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session, aliased

from db.errors import NotFoundError
from db.schema.enums import JobStatus, ProvisionerType, Transition
from db.schema.tables import (
    ProvisionerDaemon,
    ProvisionerJob,
    Template,
    TemplateVersion,
    User,
    Workspace,
    WorkspaceBuild,
)

LIMIT = 200
UNTAGGED = "none"  #: the error code of failures that have none, as in the metrics


@dataclass(frozen=True, kw_only=True)
class JobListing:
    """A workspace build's job. Names are as in the JSON of the system that we follow."""

    id: uuid.UUID
    status: JobStatus
    transition: Transition
    workspace_name: str
    workspace_owner_name: str
    template_name: str
    template_version_name: str
    build_number: int
    provisioner: ProvisionerType
    queue: str
    tags: dict[str, str]
    stage: str | None
    attempt: int
    worker_name: str | None
    error: str | None
    error_code: str | None
    failure_reason: str | None
    initiator_name: str
    workspace_build_id: uuid.UUID
    organization_id: uuid.UUID
    daily_cost: int
    quota_budget: int | None
    quota_credits_consumed: int | None
    logs_overflowed: bool
    created_at: datetime
    started_at: datetime | None
    canceled_at: datetime | None
    completed_at: datetime | None


def list_jobs(
    session: Session,
    *,
    statuses: Sequence[JobStatus] = (),
    owner_id: uuid.UUID | None = None,
    workspace_name: str | None = None,
    queue: str | None = None,
    error_code: str | None = None,
    before: uuid.UUID | None = None,
    limit: int = LIMIT,
) -> list[JobListing]:
    """Return jobs of workspace builds, the newest first.

    Args:
        statuses: only jobs with one of these; all when empty.
        owner_id: only builds of this user's workspaces.
        workspace_name: only builds of workspaces of this name, deleted ones included.
        queue: only jobs of this queue.
        error_code: only jobs that failed with this code; without one when ``UNTAGGED``.
        before: only jobs older than this one, the last of the page before.
    """
    newest = session.execute(
        text("""
            SELECT newest.id
            FROM organizations
            -- For each organization apart: the index of its newest jobs serves that, while a
            -- sort over all organizations would read the whole table.
            CROSS JOIN LATERAL (
                SELECT id, created_at
                FROM provisioner_jobs AS job
                WHERE organization_id = organizations.id
                  AND type = 'workspace_build'
                  AND (CAST(:owner_id AS uuid) IS NULL OR owner_id = :owner_id)
                  AND (:any_status OR job_status = ANY(CAST(:statuses AS provisioner_job_status[])))
                  AND (CAST(:workspace_name AS text) IS NULL OR workspace_id IN (
                      SELECT id FROM workspaces WHERE lower(name) = lower(:workspace_name)
                  ))
                  AND (CAST(:queue AS text) IS NULL OR queue = :queue)
                  AND (CAST(:error_code AS text) IS NULL
                       OR error <> '' AND coalesce(error_code, :untagged) = :error_code)
                  AND (CAST(:before AS uuid) IS NULL OR (created_at, id) < (
                      SELECT created_at, id FROM provisioner_jobs WHERE id = :before
                  ))
                ORDER BY created_at DESC, id DESC
                LIMIT :limit
            ) AS newest
            ORDER BY newest.created_at DESC, newest.id DESC
            LIMIT :limit
        """),
        {
            "statuses": [status.value for status in statuses],
            "any_status": not statuses,
            "owner_id": owner_id,
            "workspace_name": workspace_name,
            "queue": queue,
            "error_code": error_code,
            "untagged": UNTAGGED,
            "before": before,
            "limit": limit,
        },
    ).scalars()
    query = _jobs().where(ProvisionerJob.id.in_(list(newest)))
    query = query.order_by(ProvisionerJob.created_at.desc(), ProvisionerJob.id.desc())
    return [JobListing(**row._asdict()) for row in session.execute(query)]


def get_job(session: Session, job_id: uuid.UUID) -> JobListing:
    """Return the job of a workspace build.

    Raises:
        NotFoundError: there is none of that id.
    """
    row = session.execute(_jobs().where(ProvisionerJob.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return JobListing(**row._asdict())


def _jobs() -> Select[*tuple[Any, ...]]:
    owner, initiator = aliased(User), aliased(User)
    build, job = WorkspaceBuild, ProvisionerJob
    query: Select[*tuple[Any, ...]] = (
        select(
            job.id,
            job.job_status.label("status"),
            build.transition,
            Workspace.name.label("workspace_name"),
            owner.username.label("workspace_owner_name"),
            Template.name.label("template_name"),
            TemplateVersion.name.label("template_version_name"),
            build.build_number,
            job.provisioner,
            job.queue,
            job.tags,
            job.stage,
            job.attempt,
            ProvisionerDaemon.name.label("worker_name"),
            job.error,
            job.error_code,
            job.failure_reason,
            initiator.username.label("initiator_name"),
            build.id.label("workspace_build_id"),
            job.organization_id,
            build.daily_cost,
            build.quota_budget,
            build.quota_credits_consumed,
            job.logs_overflowed,
            job.created_at,
            job.started_at,
            job.canceled_at,
            job.completed_at,
        )
        .join(build, build.job_id == job.id)
        .join(Workspace, Workspace.id == build.workspace_id)
        .join(owner, owner.id == Workspace.owner_id)
        .join(initiator, initiator.id == job.initiator_id)
        .join(TemplateVersion, TemplateVersion.id == build.template_version_id)
        .join(Template, Template.id == TemplateVersion.template_id)
        .outerjoin(ProvisionerDaemon, ProvisionerDaemon.id == job.worker_id)
    )
    return query
