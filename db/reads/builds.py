"""Workspace builds, with their jobs and the resources that they left."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.errors import InvalidError, NotFoundError
from db.reads.agents import agents_of
from db.reads.contract import (
    ProvisionerJob,
    WorkspaceBuild,
    WorkspaceQuota,
    WorkspaceResource,
    WorkspaceResourceMetadata,
    workspace_status,
)
from db.reads.declared import REDACTED
from db.reads.jobcontract import as_contract
from db.reads.jobs import get_jobs
from db.schema.enums import Transition
from db.sealing.places import parameter_of
from db.sealing.values import open_text

MAX_PAGE = 1000
_PARAMETERS = text("""
    SELECT given.name, given.value, build.workspace_id,
           coalesce(declared.sensitive, false) AS sensitive
    FROM workspace_build_parameters AS given
    JOIN workspace_builds AS build ON build.id = given.workspace_build_id
    LEFT JOIN template_version_parameters AS declared
           ON declared.template_version_id = build.template_version_id
              AND declared.name = given.name
    WHERE given.workspace_build_id = :id
    ORDER BY given.name
""")
_NO_BUILD_BEFORE = 2**31 - 1

# Uses: uq_workspace_builds_workspace_id_build_number.
_PAGE = text("""
    SELECT id, job_id
    FROM workspace_builds
    WHERE workspace_id = :workspace_id AND build_number < :before
    ORDER BY build_number DESC
    LIMIT :limit
""")

# Uses: pk_workspace_builds. The state, which may be large, is never read.
_BUILDS = text("""
    SELECT build.id, build.created_at, build.updated_at, build.workspace_id,
           workspace.name AS workspace_name,
           workspace.owner_id AS workspace_owner_id,
           owner.username AS workspace_owner_name,
           owner.avatar_url AS workspace_owner_avatar_url,
           build.template_version_id,
           version.name AS template_version_name,
           build.build_number, build.transition, build.initiator_id,
           initiator.username AS initiator_name,
           build.job_id, build.reason, build.daily_cost, build.has_ai_task,
           build.has_external_agent, build.template_version_preset_id,
           nullif(build.deadline, '0001-01-01 00:00:00+00') AS deadline,
           nullif(build.max_deadline, '0001-01-01 00:00:00+00') AS max_deadline
    FROM workspace_builds AS build
    JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    JOIN users AS owner ON owner.id = workspace.owner_id
    JOIN users AS initiator ON initiator.id = build.initiator_id
    JOIN template_versions AS version ON version.id = build.template_version_id
    WHERE build.id = ANY(:build_ids)
    ORDER BY build.build_number DESC
""")

# Uses: ix_workspace_resources_job_id.
_RESOURCES = text("""
    SELECT id, created_at, job_id, transition AS workspace_transition, type, name, hide, icon,
           daily_cost
    FROM workspace_resources
    WHERE job_id = ANY(:job_ids)
    ORDER BY type, name, id
""")

# Uses: uq_workspace_resource_metadata_workspace_resource_id_key.
_METADATA = text("""
    SELECT workspace_resource_id, key, coalesce(value, '') AS value, sensitive
    FROM workspace_resource_metadata
    WHERE workspace_resource_id = ANY(:resource_ids)
    ORDER BY id
""")


def get_build(session: Session, build_id: uuid.UUID) -> WorkspaceBuild:
    """Return one build.

    Raises:
        NotFoundError: there is no such build.
    """
    return _load(session, {build_id: find_job_of_build(session, build_id)})[0]


def get_builds_by_id(session: Session, build_ids: Sequence[uuid.UUID]) -> list[WorkspaceBuild]:
    """Return the builds that exist, those with higher numbers first."""
    rows = session.execute(
        text("SELECT id, job_id FROM workspace_builds WHERE id = ANY(:ids)"),
        {"ids": list(build_ids)},
    )
    return _load(session, {row.id: row.job_id for row in rows})


def find_build_id(session: Session, workspace_id: uuid.UUID, number: int) -> uuid.UUID:
    """Return the id of a workspace's build of that number.

    Raises:
        NotFoundError: there is none.
    """
    found = session.execute(
        text(
            "SELECT id FROM workspace_builds"
            " WHERE workspace_id = :workspace_id AND build_number = :number"
        ),
        {"workspace_id": workspace_id, "number": number},
    ).scalar_one_or_none()
    if found is None:
        raise NotFoundError(f"the workspace has no build {number}")
    return uuid.UUID(str(found))


def find_parameters(session: Session, build_id: uuid.UUID) -> dict[str, str]:
    """Return the values of a build's parameters, by name.

    Raises:
        SealedError: one is sealed, and does not open.
    """
    rows = session.execute(_PARAMETERS, {"id": build_id})
    return {row.name: _opened(session, row) for row in rows}


def find_shown_parameters(session: Session, build_id: uuid.UUID) -> dict[str, str]:
    """Return the values to show of a build's parameters, by name: sensitive ones are hidden.

    Raises:
        SealedError: one of the others is sealed, and does not open.
    """
    rows = session.execute(_PARAMETERS, {"id": build_id})
    return {row.name: REDACTED if row.sensitive else _opened(session, row) for row in rows}


def _opened(session: Session, row: Row[Any]) -> str:
    return open_text(session, row.value, parameter_of(row.workspace_id, row.name))


def find_resources(session: Session, job_id: uuid.UUID) -> list[WorkspaceResource]:
    """Return the resources that a job left, or those that an import or a dry run planned."""
    return _resources(session, [job_id]).get(job_id, [])


def find_job_of_build(session: Session, build_id: uuid.UUID) -> uuid.UUID:
    """Return the id of the build's job.

    Raises:
        NotFoundError: there is no such build.
    """
    job_id = session.execute(
        text("SELECT job_id FROM workspace_builds WHERE id = :id"), {"id": build_id}
    ).scalar_one_or_none()
    if job_id is None:
        raise NotFoundError(f"there is no workspace build {build_id}")
    return uuid.UUID(str(job_id))


def get_builds(
    session: Session, workspace_id: uuid.UUID, *, limit: int = 50, before: int | None = None
) -> list[WorkspaceBuild]:
    """Return the builds of a workspace, newest first; none if the workspace does not exist.

    Args:
        limit: maximum number of builds, from 1 to ``MAX_PAGE``.
        before: only builds with a lower number; pass that of the last build on the previous page.

    Raises:
        InvalidError: the limit is out of range.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidError(f"a page has from 1 to {MAX_PAGE} builds, not {limit}")
    rows = session.execute(
        _PAGE,
        {
            "workspace_id": workspace_id,
            "before": _NO_BUILD_BEFORE if before is None else before,
            "limit": limit,
        },
    )
    return _load(session, {row.id: row.job_id for row in rows})


def find_quota_decision(session: Session, build_id: uuid.UUID) -> WorkspaceQuota | None:
    """Return the figures of the build's quota decision, or None if there was no decision."""
    row = session.execute(
        text("""
            SELECT quota_credits_consumed AS credits_consumed, quota_budget AS budget
            FROM workspace_builds
            WHERE id = :build_id
              AND quota_budget IS NOT NULL
              AND quota_credits_consumed IS NOT NULL
        """),
        {"build_id": build_id},
    ).one_or_none()
    return WorkspaceQuota(**row._asdict()) if row else None


def _load(session: Session, job_ids: Mapping[uuid.UUID, uuid.UUID]) -> list[WorkspaceBuild]:
    # Read the jobs first. The result of a job is written in the transaction that finishes it, so
    # the later statements see all of it. In the other order, a build could look finished and empty.
    jobs = {job.id: as_contract(job) for job in get_jobs(session, list(job_ids.values()))}
    rows = session.execute(_BUILDS, {"build_ids": list(job_ids)}).all()
    resources = _resources(session, list(jobs))
    return [_build(row, jobs[row.job_id], resources.get(row.job_id, [])) for row in rows]


def _build(
    row: Row[Any], job: ProvisionerJob, resources: Sequence[WorkspaceResource]
) -> WorkspaceBuild:
    fields: dict[str, Any] = row._asdict()
    del fields["job_id"]
    avatar_url: str = fields.pop("workspace_owner_avatar_url")
    return WorkspaceBuild(
        **fields,
        workspace_owner_avatar_url=avatar_url or None,
        job=job,
        resources=list(resources),
        status=workspace_status(Transition(row.transition), job.status),
    )


def _resources(
    session: Session, job_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[WorkspaceResource]]:
    rows = session.execute(_RESOURCES, {"job_ids": list(job_ids)}).all()
    ids = [row.id for row in rows]
    metadata = _metadata(session, ids)
    agents = agents_of(session, ids)
    resources: dict[uuid.UUID, list[WorkspaceResource]] = defaultdict(list)
    for row in rows:
        resources[row.job_id].append(
            WorkspaceResource(
                **row._asdict(), agents=agents.get(row.id), metadata=metadata.get(row.id)
            )
        )
    return resources


def _metadata(
    session: Session, resource_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[WorkspaceResourceMetadata]]:
    metadata: dict[uuid.UUID, list[WorkspaceResourceMetadata]] = defaultdict(list)
    for row in session.execute(_METADATA, {"resource_ids": list(resource_ids)}):
        metadata[row.workspace_resource_id].append(
            WorkspaceResourceMetadata(key=row.key, value=row.value, sensitive=row.sensitive)
        )
    return metadata
