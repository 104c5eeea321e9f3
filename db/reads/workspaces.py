"""Workspaces, with the latest build of each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.builds import find_resources, find_shown_parameters
from db.reads.contract import WorkspaceResource, workspace_status
from db.reads.listings import LIMIT, read_listings
from db.reads.parameters import list_parameters
from db.reads.sight import EVERYTHING, Sight, seen
from db.schema.enums import JobStatus, Transition

_SHOWN = """
    SELECT workspace.id, workspace.name, owner.username AS owner_name,
           template.name AS template_name,
           version.name AS version_name, active.name AS active_version_name,
           preset.name AS preset_name,
           coalesce(latest.daily_cost, 0) AS daily_cost,
           latest.id AS build_id, latest.template_version_id AS version_id,
           latest.build_number, latest.transition::text, latest.job_id, job.job_status::text
    FROM workspaces AS workspace
    JOIN users AS owner ON owner.id = workspace.owner_id
    JOIN templates AS template ON template.id = workspace.template_id
    LEFT JOIN template_versions AS active ON active.id = template.active_version_id
    LEFT JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
    LEFT JOIN template_versions AS version ON version.id = latest.template_version_id
    LEFT JOIN workspace_builds AS build ON build.id = latest.id
    LEFT JOIN template_version_presets AS preset ON preset.id = build.template_version_preset_id
    LEFT JOIN provisioner_jobs AS job ON job.id = latest.job_id
    WHERE workspace.id = :id
"""


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
    is_outdated: bool  #: whether the template has another active version


def list_workspaces(
    session: Session,
    *,
    owner_id: uuid.UUID | None = None,
    sight: Sight = EVERYTHING,
    limit: int = LIMIT,
) -> list[WorkspaceListing]:
    """Return the workspaces that are not deleted, by owner and name."""
    return read_listings(
        session,
        _workspace_listing,
        f"""
        SELECT workspace.id, workspace.name, owner.username AS owner_name,
               template.name AS template_name,
               coalesce(latest.daily_cost, 0) AS daily_cost,
               latest.build_number, latest.transition::text, latest.job_id,
               latest.created_at AS last_build_at,
               coalesce(latest.template_version_id <> template.active_version_id, false)
                   AS is_outdated,
               job.job_status::text
        FROM workspaces AS workspace
        JOIN users AS owner ON owner.id = workspace.owner_id
        JOIN templates AS template ON template.id = workspace.template_id
        LEFT JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
        LEFT JOIN provisioner_jobs AS job ON job.id = latest.job_id
        WHERE NOT workspace.deleted
          AND (CAST(:owner_id AS uuid) IS NULL OR workspace.owner_id = :owner_id)
          AND {seen("workspace.organization_id", "workspace.owner_id")}
        ORDER BY owner.username, workspace.name
        LIMIT :limit
        """,  # noqa: S608 - made of constants
        owner_id=owner_id,
        limit=limit,
        **sight.values,
    )


@dataclass(frozen=True, kw_only=True)
class ShownParameter:
    """A parameter of a workspace's latest build, with its value."""

    name: str
    value: str
    type: str | None  #: None if the version has no import that says so
    mutable: bool = True
    ephemeral: bool = False


@dataclass(frozen=True, kw_only=True)
class ShownResource:
    """A resource that a workspace's latest build left, and what runs in it."""

    type: str
    name: str
    daily_cost: int
    agents: list[str]  #: their names
    apps: list[str]  #: display names of their apps that are not hidden


@dataclass(frozen=True, kw_only=True)
class ShownWorkspace:
    """A workspace with its latest build, the values of that, and the resources that it left."""

    id: uuid.UUID
    name: str
    owner_name: str
    template_name: str
    version_name: str | None
    active_version_name: str | None
    preset_name: str | None
    status: str  #: see ``db.reads.contract``; "" before the first build
    daily_cost: int
    build_number: int | None
    transition: Transition | None
    job_id: uuid.UUID | None
    parameters: list[ShownParameter]
    resources: list[ShownResource]

    @property
    def is_outdated(self) -> bool:
        """Whether the template's active version is not the one of the latest build."""
        return self.version_name not in {None, self.active_version_name}


def show_workspace(session: Session, workspace_id: uuid.UUID) -> ShownWorkspace:
    """Return a workspace that exists, with the values of its latest build."""
    row = session.execute(sql(_SHOWN), {"id": workspace_id}).one()
    fields = row._asdict()
    build_id, version_id = fields.pop("build_id"), fields.pop("version_id")
    return ShownWorkspace(
        **_with_status(fields),
        parameters=_shown_parameters(session, build_id, version_id) if build_id else [],
        resources=_shown_resources(session, row.job_id) if row.job_id else [],
    )


def _shown_resources(session: Session, job_id: uuid.UUID) -> list[ShownResource]:
    return [_resource(found) for found in find_resources(session, job_id) if not found.hide]


def _resource(found: WorkspaceResource) -> ShownResource:
    agents = found.agents or ()
    return ShownResource(
        type=found.type,
        name=found.name,
        daily_cost=found.daily_cost,
        agents=[agent.name for agent in agents],
        apps=[app.display_name for agent in agents for app in agent.apps if not app.hidden],
    )


def _shown_parameters(
    session: Session, build_id: uuid.UUID, version_id: uuid.UUID
) -> list[ShownParameter]:
    declared = {found.name: found for found in list_parameters(session, version_id)}
    values = find_shown_parameters(session, build_id)
    order = [*(name for name in declared if name in values), *(values.keys() - declared.keys())]
    return [
        ShownParameter(
            name=name,
            value=values[name],
            type=declared[name].type if name in declared else None,
            mutable=name not in declared or declared[name].mutable,
            ephemeral=name in declared and declared[name].ephemeral,
        )
        for name in order
    ]


def _workspace_listing(**fields: Any) -> WorkspaceListing:
    return WorkspaceListing(**_with_status(fields))


def _with_status(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns with a status in place of that of the job."""
    others = dict(fields)
    job_status = others.pop("job_status")
    transition = Transition(others["transition"]) if others["transition"] else None
    status = workspace_status(transition, JobStatus(job_status)) if transition else ""
    return {**others, "transition": transition, "status": status}
