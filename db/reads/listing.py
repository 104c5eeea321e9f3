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
from db.jobs.workers import STALE_AFTER
from db.reads.contract import workspace_status
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


@dataclass(frozen=True, kw_only=True)
class WorkspaceListing:
    """A workspace and its latest build."""

    id: uuid.UUID
    name: str
    owner_name: str
    template_name: str
    status: str  #: see ``db.reads.contract``; "" before the first build
    daily_cost: int
    build_number: int | None
    transition: Transition | None
    job_id: uuid.UUID | None
    last_build_at: datetime | None


def list_workspaces(
    session: Session, *, owner_id: uuid.UUID | None = None, limit: int = LIMIT
) -> list[WorkspaceListing]:
    """Return the workspaces that are not deleted, by owner and name."""
    rows = session.execute(
        text("""
            SELECT workspace.id, workspace.name, owner.username AS owner_name,
                   template.name AS template_name,
                   coalesce(latest.daily_cost, 0) AS daily_cost,
                   latest.build_number, latest.transition::text, latest.job_id,
                   latest.created_at AS last_build_at,
                   job.job_status::text
            FROM workspaces AS workspace
            JOIN users AS owner ON owner.id = workspace.owner_id
            JOIN templates AS template ON template.id = workspace.template_id
            LEFT JOIN LATERAL (
                SELECT daily_cost, build_number, transition, job_id, created_at
                FROM workspace_builds AS build
                WHERE build.workspace_id = workspace.id
                ORDER BY build_number DESC
                LIMIT 1
            ) AS latest ON true
            LEFT JOIN provisioner_jobs AS job ON job.id = latest.job_id
            WHERE NOT workspace.deleted
              AND (CAST(:owner_id AS uuid) IS NULL OR workspace.owner_id = :owner_id)
            ORDER BY owner.username, workspace.name
            LIMIT :limit
        """),
        {"owner_id": owner_id, "limit": limit},
    )
    return [_workspace_listing(row._asdict()) for row in rows]


@dataclass(frozen=True, kw_only=True)
class TemplateListing:
    """A template and its active version."""

    id: uuid.UUID
    name: str
    organization_name: str
    provisioner: str
    active_version_name: str | None
    versions: int
    workspaces: int  #: not deleted ones
    updated_at: datetime  #: when the active version was pushed


def list_templates(session: Session, *, limit: int = LIMIT) -> list[TemplateListing]:
    """Return the templates that are not deleted, by organization and name."""
    rows = session.execute(
        text("""
            SELECT template.id, template.name, organization.name AS organization_name,
                   template.provisioner::text,
                   active.name AS active_version_name,
                   coalesce(active.created_at, template.created_at) AS updated_at,
                   (SELECT count(*) FROM template_versions AS version
                    WHERE version.template_id = template.id) AS versions,
                   (SELECT count(*) FROM workspaces AS workspace
                    WHERE workspace.template_id = template.id
                      AND NOT workspace.deleted) AS workspaces
            FROM templates AS template
            JOIN organizations AS organization ON organization.id = template.organization_id
            LEFT JOIN template_versions AS active ON active.id = template.active_version_id
            WHERE NOT template.deleted
            ORDER BY organization.name, template.name
            LIMIT :limit
        """),
        {"limit": limit},
    )
    return [TemplateListing(**row._asdict()) for row in rows]


@dataclass(frozen=True, kw_only=True)
class WorkerListing:
    """A worker, and whether it can be counted on."""

    id: uuid.UUID
    name: str
    status: str  #: busy, idle, draining, or offline: signed off, or not seen for STALE_AFTER
    is_stale: bool  #: vanished without signing off
    tags: dict[str, str]
    provisioners: Sequence[str]
    queues: Sequence[str]
    slots: int
    running_jobs: int
    free_slots: int  #: 0 of a worker that takes nothing
    last_seen_at: datetime | None
    last_seen_s: float | None  #: how long ago
    version: str
    hostname: str


def list_workers(session: Session, *, limit: int = LIMIT) -> list[WorkerListing]:
    """Return the workers that have ever signed on, those seen last first."""
    rows = session.execute(
        text("""
            SELECT id, name, tags, provisioners::text[], queues, concurrency AS slots,
                   last_seen_at, version, hostname,
                   extract(epoch FROM now() - last_seen_at)::float AS last_seen_s,
                   running.jobs AS running_jobs,
                   CASE WHEN stopped_at IS NULL AND NOT is_stale AND NOT draining
                       THEN greatest(0, concurrency - running.jobs) ELSE 0
                   END AS free_slots,
                   is_stale,
                   CASE
                       WHEN stopped_at IS NOT NULL OR is_stale THEN 'offline'
                       WHEN draining THEN 'draining'
                       WHEN running.jobs > 0 THEN 'busy'
                       ELSE 'idle'
                   END AS status
            FROM provisioner_daemons AS worker
            CROSS JOIN LATERAL (
                SELECT stopped_at IS NULL
                       AND coalesce(last_seen_at <= now() - :stale, true) AS is_stale
            ) AS sight
            CROSS JOIN LATERAL (
                SELECT count(*) AS jobs FROM leases WHERE leases.worker_id = worker.id
            ) AS running
            ORDER BY last_seen_at DESC NULLS LAST, name
            LIMIT :limit
        """),
        {"stale": STALE_AFTER, "limit": limit},
    )
    return [WorkerListing(**row._asdict()) for row in rows]


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


def _workspace_listing(fields: dict[str, object]) -> WorkspaceListing:
    job_status = fields.pop("job_status")
    transition = Transition(str(fields["transition"])) if fields["transition"] else None
    status = workspace_status(transition, JobStatus(str(job_status))) if transition else ""
    return WorkspaceListing(**{**fields, "transition": transition, "status": status})  # type: ignore[arg-type]
