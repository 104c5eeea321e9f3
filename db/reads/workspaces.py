"""Workspaces, with the latest build of each."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.reads.contract import workspace_status
from db.reads.listings import LIMIT, read_listings
from db.schema.enums import JobStatus, Transition


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
    return read_listings(
        session,
        _workspace_listing,
        """
        SELECT workspace.id, workspace.name, owner.username AS owner_name,
               template.name AS template_name,
               coalesce(latest.daily_cost, 0) AS daily_cost,
               latest.build_number, latest.transition::text, latest.job_id,
               latest.created_at AS last_build_at,
               job.job_status::text
        FROM workspaces AS workspace
        JOIN users AS owner ON owner.id = workspace.owner_id
        JOIN templates AS template ON template.id = workspace.template_id
        LEFT JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
        LEFT JOIN provisioner_jobs AS job ON job.id = latest.job_id
        WHERE NOT workspace.deleted
          AND (CAST(:owner_id AS uuid) IS NULL OR workspace.owner_id = :owner_id)
        ORDER BY owner.username, workspace.name
        LIMIT :limit
        """,
        owner_id=owner_id,
        limit=limit,
    )


def _workspace_listing(**fields: object) -> WorkspaceListing:
    job_status = fields.pop("job_status")
    transition = Transition(str(fields["transition"])) if fields["transition"] else None
    status = workspace_status(transition, JobStatus(str(job_status))) if transition else ""
    return WorkspaceListing(**{**fields, "transition": transition, "status": status})  # type: ignore[arg-type]
