"""Workspaces with their latest builds, as the HTTP API shows them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import NotFoundError
from db.reads.accounts import EVERYTHING
from db.reads.builds import get_builds_by_id
from db.reads.contract import WorkspaceBuild, WorkspaceStatus
from db.reads.listings import read_row
from db.reads.shapes import NO_ID, Workspace

# Uses: pk_workspaces, ix_workspaces_owner_id_organization_id.
_WORKSPACES = """
    SELECT workspace.id, workspace.created_at, workspace.updated_at, workspace.owner_id,
           owner.username AS owner_name, owner.avatar_url AS owner_avatar_url,
           workspace.organization_id, organization.name AS organization_name,
           workspace.template_id, template.name AS template_name,
           template.display_name AS template_display_name, template.icon AS template_icon,
           template.allow_user_cancel_workspace_jobs AS template_allow_user_cancel_workspace_jobs,
           template.active_version_id AS template_active_version_id,
           template.require_active_version AS template_require_active_version,
           latest.id AS latest_id, latest.template_version_id AS latest_version_id,
           latest.transition::text AS latest_transition, job.job_status::text AS latest_status,
           workspace.name, workspace.autostart_schedule, workspace.ttl / 1000000 AS ttl_ms,
           workspace.last_used_at, workspace.deleting_at, workspace.dormant_at,
           workspace.automatic_updates::text, workspace.favorite, workspace.deleted
    FROM workspaces AS workspace
    JOIN users AS owner ON owner.id = workspace.owner_id
    JOIN organizations AS organization ON organization.id = workspace.organization_id
    JOIN templates AS template ON template.id = workspace.template_id
    -- A workspace whose first build was not enqueued yet is not shown.
    JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
    JOIN provisioner_jobs AS job ON job.id = latest.job_id
"""
# The status of a workspace: see ``db.reads.contract.workspace_status``.
_STATUS = """
    CASE latest_status
        WHEN 'running' THEN CASE latest_transition
            WHEN 'start' THEN 'starting' WHEN 'stop' THEN 'stopping' ELSE 'deleting' END
        WHEN 'succeeded' THEN CASE latest_transition
            WHEN 'start' THEN 'running' WHEN 'stop' THEN 'stopped' ELSE 'deleted' END
        ELSE latest_status
    END
"""


@dataclass(frozen=True, kw_only=True)
class WorkspaceFilter:
    """Which workspaces to list. A field that is None or empty does not restrict them."""

    organizations: Collection[uuid.UUID] | None = None  #: whose workspaces the caller may see
    seen_by: uuid.UUID | None = None  #: a user whose own workspaces are shown, too
    owner: str | None = None  #: name or id
    name: str | None = None  #: a part of the name
    exact_name: str | None = None
    template: str | None = None
    organization: str | None = None  #: name or id
    status: WorkspaceStatus | None = None
    ids: Collection[uuid.UUID] = ()
    outdated: bool | None = None
    dormant: bool = False
    used_after: datetime | None = None
    used_before: datetime | None = None
    has_ai_task: bool | None = None
    has_external_agent: bool | None = None
    parameter: str | None = None  #: a parameter of the latest build
    parameter_value: str | None = None  #: of that parameter, in lower case


@dataclass(frozen=True, kw_only=True)
class WorkspaceRow:
    """A workspace, and whether it was deleted."""

    workspace: Workspace
    deleted: bool


_PAGE = sql(f"""
    SELECT found.*, count(*) OVER () AS total
    FROM ({_WORKSPACES}
        WHERE NOT workspace.deleted
          AND (CAST(:organizations AS uuid[]) IS NULL
               OR workspace.organization_id = ANY(:organizations)
               OR workspace.owner_id = :seen_by)
          AND (CAST(:owner AS text) IS NULL
               OR lower(owner.username) = lower(:owner)
               OR owner.id::text = lower(:owner))
          AND (CAST(:name AS text) IS NULL
               OR position(lower(:name) IN lower(workspace.name)) > 0)
          AND (CAST(:exact_name AS text) IS NULL
               OR lower(workspace.name) = lower(:exact_name))
          AND (CAST(:template AS text) IS NULL
               OR lower(template.name) = lower(:template))
          AND (CAST(:organization AS text) IS NULL
               OR lower(organization.name) = lower(:organization)
               OR organization.id::text = lower(:organization))
          AND (cardinality(CAST(:ids AS uuid[])) = 0 OR workspace.id = ANY(:ids))
          AND (CAST(:outdated AS boolean) IS NULL
               OR :outdated = (latest.template_version_id
                               IS DISTINCT FROM template.active_version_id))
          AND (NOT :dormant OR workspace.dormant_at IS NOT NULL)
          AND (CAST(:used_after AS timestamptz) IS NULL OR workspace.last_used_at > :used_after)
          AND (CAST(:used_before AS timestamptz) IS NULL OR workspace.last_used_at < :used_before)
          AND (CAST(:has_ai_task AS boolean) IS NULL
               OR :has_ai_task = (SELECT coalesce(build.has_ai_task, false)
                                  FROM workspace_builds AS build WHERE build.id = latest.id))
          AND (CAST(:has_external_agent AS boolean) IS NULL
               OR :has_external_agent = (SELECT coalesce(build.has_external_agent, false)
                                         FROM workspace_builds AS build
                                         WHERE build.id = latest.id))
          AND (CAST(:parameter AS text) IS NULL OR EXISTS (
                  SELECT 1 FROM workspace_build_parameters AS chosen
                  WHERE chosen.workspace_build_id = latest.id
                    AND lower(chosen.name) = :parameter
                    AND (CAST(:parameter_value AS text) IS NULL
                         OR lower(chosen.value) = :parameter_value)))
    ) AS found
    WHERE CAST(:status AS text) IS NULL OR {_STATUS} = :status
    ORDER BY (favorite AND owner_id = :favorites_of) DESC,
             (latest_status = 'succeeded' AND latest_transition = 'start') DESC,
             lower(owner_name), lower(name)
    LIMIT :limit OFFSET :offset
""")  # noqa: S608 - made of constants


def find_workspaces(
    session: Session,
    wanted: WorkspaceFilter,
    *,
    favorites_of: uuid.UUID,
    limit: int = EVERYTHING,
    offset: int = 0,
) -> tuple[list[Workspace], int]:
    """Return a page of the workspaces that are not deleted, and their number on all pages.

    The favorites of one user come first, then running workspaces, then by owner and name.
    """
    rows = session.execute(
        _PAGE,
        {
            **_values(wanted),
            "favorites_of": favorites_of,
            "limit": limit,
            "offset": offset,
        },
    ).all()
    return _workspaces(session, rows), rows[0].total if rows else 0


def get_workspace(session: Session, workspace_id: uuid.UUID) -> WorkspaceRow:
    """Return one workspace, also a deleted one.

    Raises:
        NotFoundError: there is none, or it was never built.
    """
    query = f"{_WORKSPACES} WHERE workspace.id = :id"
    missing = f"there is no workspace {workspace_id}"
    row = read_row(session, query, missing=missing, id=workspace_id)
    return WorkspaceRow(workspace=_workspaces(session, [row])[0], deleted=row.deleted)


def find_workspace_id(
    session: Session, *, owner_id: uuid.UUID, name: str, with_deleted: bool = False
) -> uuid.UUID:
    """Return the id of the owner's workspace of that name.

    Args:
        with_deleted: if there is none now, the one that was deleted last.

    Raises:
        NotFoundError: there is none.
    """
    found = session.execute(
        sql("""
            SELECT id
            FROM workspaces
            WHERE owner_id = :owner_id AND lower(name) = lower(:name)
              AND (:with_deleted OR NOT deleted)
            ORDER BY deleted, updated_at DESC
            LIMIT 1
        """),
        {"owner_id": owner_id, "name": name, "with_deleted": with_deleted},
    ).scalar_one_or_none()
    if found is None:
        raise NotFoundError(f"there is no workspace {name!r}")
    return uuid.UUID(str(found))


def _values(wanted: WorkspaceFilter) -> dict[str, object]:
    visible = wanted.organizations
    return {
        **vars(wanted),
        "organizations": None if visible is None else list(visible),
        "ids": list(wanted.ids),
    }


def _workspaces(session: Session, rows: Sequence[Row[Any]]) -> list[Workspace]:
    builds = {
        build.id: build for build in get_builds_by_id(session, [row.latest_id for row in rows])
    }
    return [_workspace(row, builds[row.latest_id]) for row in rows]


def _workspace(row: Row[Any], build: WorkspaceBuild) -> Workspace:
    fields: dict[str, Any] = row._asdict()
    fields["template_active_version_id"] = row.template_active_version_id or NO_ID
    fields["latest_build"] = build
    fields["outdated"] = row.latest_version_id != row.template_active_version_id
    return Workspace(**fields)
