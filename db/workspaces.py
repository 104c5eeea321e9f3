"""Making and finding workspaces, and enqueueing their builds."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.engine import sql
from db.enums import BuildReason, JobPriority, JobStatus, JobType, Transition, UserStatus
from db.errors import BuildActiveError, ConflictError, NotFoundError
from db.models import (
    ProvisionerJob,
    Template,
    TemplateVersion,
    User,
    Workspace,
    WorkspaceBuild,
    WorkspaceBuildParameter,
)
from db.names import check_name
from db.tags import queue_name
from db.templates import get_usable_version
from db.texts import check_storable

PREBUILDS_USER_ID = uuid.UUID("c42fdf75-3097-471c-8c33-fb52454d81c0")
"""The system user that initiates prebuilds. Source: the system that we follow."""

FAIR_RANK_LIMIT = 1000
"""Beyond so many unfinished builds one owner's order no longer matters, but counting would."""


@dataclass(frozen=True, kw_only=True)
class EnqueuedBuild:
    """What enqueueing gives back: enough to watch the job and to ring its queue."""

    build_id: uuid.UUID
    job_id: uuid.UUID
    workspace_id: uuid.UUID
    build_number: int
    queue: str


def create_workspace(session: Session, *, owner: User, template: Template, name: str) -> Workspace:
    """Create a workspace, still without a build.

    Raises:
        InvalidError: the name is not allowed.
        ConflictError: the owner has a workspace of that name, or may not act.
    """
    if owner.status is not UserStatus.ACTIVE:
        raise ConflictError(f"user {owner.username!r} is {owner.status} and cannot build")
    workspace = Workspace(
        id=uuid.uuid4(),
        owner_id=owner.id,
        organization_id=template.organization_id,
        template_id=template.id,
        name=check_name("workspace", name),
    )
    try:
        with session.begin_nested():
            session.add(workspace)
    except IntegrityError as error:
        raise ConflictError(f"user {owner.username!r} already has a workspace {name!r}") from error
    return workspace


def get_workspace(session: Session, *, owner: User, name: str) -> Workspace:
    """Return the owner's workspace of that name.

    Raises:
        NotFoundError: there is none, or it was deleted.
    """
    workspace = session.scalars(
        select(Workspace).where(
            Workspace.owner_id == owner.id,
            func.lower(Workspace.name) == name.lower(),
            ~Workspace.deleted,
        )
    ).one_or_none()
    if workspace is None:
        raise NotFoundError(f"user {owner.username!r} has no workspace {name!r}")
    return workspace


def insert_build(
    session: Session,
    *,
    workspace_id: uuid.UUID,
    transition: Transition,
    initiator_id: uuid.UUID | None = None,
    template_version_id: uuid.UUID | None = None,
    parameters: Mapping[str, str] | None = None,
    reason: BuildReason = BuildReason.INITIATOR,
    trace_metadata: dict[str, Any] | None = None,
) -> EnqueuedBuild:
    """Insert a pending job and its build in the caller's transaction.

    Args:
        initiator_id: who asked for it; the workspace's owner when None. Builds of the prebuilds
            user wait behind those of people.
        template_version_id: what to build from; when None, the previous build's version, and
            for the first build the template's active one.
        parameters: values for this build; those of the previous build stand where none is given.

    Raises:
        NotFoundError: there is no such workspace, it was deleted, or it has no usable version.
        BuildActiveError: the workspace has an unfinished build.
        ConflictError: the template version cannot be built from.
        InvalidError: a parameter cannot be stored.
    """
    workspace = _lock_workspace(session, workspace_id)
    previous = _latest_build(session, workspace)
    template = session.get_one(Template, workspace.template_id)
    wanted = template_version_id or (previous.template_version_id if previous else None)
    version = get_usable_version(session, template, wanted)
    initiator = initiator_id or workspace.owner_id
    build = WorkspaceBuild(
        id=uuid.uuid4(),
        workspace_id=workspace.id,
        template_version_id=version.id,
        build_number=previous.build_number + 1 if previous else 1,
        transition=transition,
        initiator_id=initiator,
        job_id=uuid.uuid4(),
        reason=reason,
        provisioner_state=previous and previous.provisioner_state,
        state_lineage=previous and previous.state_lineage,
        state_serial=previous and previous.state_serial,
    )
    job = _build_job(session, build, workspace, version, trace_metadata=trace_metadata)
    _insert_active_job(session, job)
    session.add(build)
    session.flush()
    _insert_parameters(session, build, previous, parameters or {})
    return EnqueuedBuild(
        build_id=build.id,
        job_id=job.id,
        workspace_id=workspace.id,
        build_number=build.build_number,
        queue=job.queue,
    )


def _lock_workspace(session: Session, workspace_id: uuid.UUID) -> Workspace:
    workspace = session.scalars(
        select(Workspace)
        .where(Workspace.id == workspace_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if workspace is None:
        raise NotFoundError(f"there is no workspace {workspace_id}")
    if workspace.deleted:
        raise NotFoundError(f"workspace {workspace.name!r} was deleted")
    return workspace


def _latest_build(session: Session, workspace: Workspace) -> WorkspaceBuild | None:
    row = session.execute(
        select(WorkspaceBuild, ProvisionerJob.job_status)
        .join(ProvisionerJob, ProvisionerJob.id == WorkspaceBuild.job_id)
        .where(WorkspaceBuild.workspace_id == workspace.id)
        .order_by(WorkspaceBuild.build_number.desc())
        .limit(1)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        return None
    if JobStatus(row.job_status).is_active:
        raise BuildActiveError
    build: WorkspaceBuild = row.WorkspaceBuild
    return build


def _build_job(
    session: Session,
    build: WorkspaceBuild,
    workspace: Workspace,
    version: TemplateVersion,
    *,
    trace_metadata: dict[str, Any] | None,
) -> ProvisionerJob:
    source = session.execute(
        select(ProvisionerJob.file_id, ProvisionerJob.provisioner, ProvisionerJob.tags).where(
            ProvisionerJob.id == version.job_id
        )
    ).one()
    is_prebuild = build.initiator_id == PREBUILDS_USER_ID
    return ProvisionerJob(
        id=build.job_id,
        organization_id=workspace.organization_id,
        initiator_id=build.initiator_id,
        provisioner=source.provisioner,
        file_id=source.file_id,
        type=JobType.WORKSPACE_BUILD,
        input={"workspace_build_id": str(build.id)},
        tags=source.tags,
        trace_metadata=trace_metadata,
        workspace_id=workspace.id,
        owner_id=workspace.owner_id,
        queue=queue_name(source.tags),
        priority=JobPriority.PREBUILD if is_prebuild else JobPriority.HUMAN,
        fair_rank=_fair_rank(session, workspace.owner_id),
    )


def _fair_rank(session: Session, owner_id: uuid.UUID) -> int:
    """Count the owner's unfinished builds: the nth one waits behind everybody's (n-1)th."""
    rank = session.execute(
        sql("""
            SELECT count(*)
            FROM (
                SELECT 1 FROM provisioner_jobs
                WHERE owner_id = :owner_id AND completed_at IS NULL
                LIMIT :limit
            ) AS unfinished
        """),
        {"owner_id": owner_id, "limit": FAIR_RANK_LIMIT},
    ).scalar_one()
    return int(rank)


def _insert_active_job(session: Session, job: ProvisionerJob) -> None:
    """Insert the job; the index of one active build per workspace has the last word."""
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError as error:
        if "uq_provisioner_jobs_active_workspace" in str(error.orig):
            raise BuildActiveError from error
        raise


def _insert_parameters(
    session: Session,
    build: WorkspaceBuild,
    previous: WorkspaceBuild | None,
    given: Mapping[str, str],
) -> None:
    values = {**(_parameters_of(session, previous) if previous else {}), **given}
    session.add_all(
        WorkspaceBuildParameter(
            workspace_build_id=build.id,
            name=check_storable("name of a parameter", name),
            value=check_storable(f"value of parameter {name!r}", value),
        )
        for name, value in values.items()
    )
    session.flush()


def _parameters_of(session: Session, build: WorkspaceBuild) -> dict[str, str]:
    rows = session.execute(
        select(WorkspaceBuildParameter.name, WorkspaceBuildParameter.value).where(
            WorkspaceBuildParameter.workspace_build_id == build.id
        )
    )
    return {row.name: row.value for row in rows}
