"""Store the apps of agents. A build takes over the rows of the build before it, by their ids."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.agents import App
from db.schema.agentenums import AppHealth, AppOpenIn, AppSharingLevel
from db.schema.tables import WorkspaceApp
from db.texts import storable

_OF_THIS_WORKSPACE = """
    EXISTS (
        SELECT 1
        FROM workspace_agents AS agent
        JOIN workspace_resources AS resource ON resource.id = agent.resource_id
        JOIN workspace_builds AS build ON build.job_id = resource.job_id
        JOIN workspace_builds AS mine ON mine.workspace_id = build.workspace_id
        WHERE agent.id = workspace_apps.agent_id AND mine.job_id = :job_id
    )
"""
TAKEN = sql(f"""
    SELECT id FROM workspace_apps WHERE id = ANY(:ids) AND NOT {_OF_THIS_WORKSPACE}
""")  # noqa: S608 - made of constants


def insert_apps(session: Session, job_id: uuid.UUID, apps: Sequence[tuple[uuid.UUID, App]]) -> None:
    """Store apps, each with the id of its agent.

    An app keeps the id that Terraform gave it, and with it all references to it, in later builds of
    the workspace. A template cannot take an app of another workspace by its id.
    """
    if not apps:
        return
    rows = [{"id": _id_of(app), "agent_id": agent_id, **_row(app)} for agent_id, app in apps]
    ids = [row["id"] for row in rows]
    taken = set(session.scalars(TAKEN, {"ids": ids, "job_id": job_id}))
    for row in rows:
        if row["id"] in taken:
            row["id"] = uuid.uuid4()
    session.execute(_upsert(job_id), rows)


def _upsert(job_id: uuid.UUID) -> Any:
    statement = insert(WorkspaceApp)
    given = {
        column.name: column
        for column in statement.excluded
        if column.name not in ("id", "created_at")
    }
    return statement.on_conflict_do_update(
        index_elements=["id"],
        set_=given,
        where=text(_OF_THIS_WORKSPACE).bindparams(job_id=job_id),
    )


def _id_of(app: App) -> uuid.UUID:
    try:
        return uuid.UUID(app.id)
    except ValueError:
        return uuid.uuid4()


def _row(app: App) -> dict[str, Any]:
    return {
        "slug": storable(app.slug),
        "display_name": storable(app.display_name)[:64],
        "icon": storable(app.icon)[:256],
        "command": storable(app.command)[:65534] or None,
        "url": storable(app.url)[:65534] or None,
        "external": app.external,
        "subdomain": app.subdomain,
        "sharing_level": AppSharingLevel(app.sharing_level),
        "healthcheck_url": storable(app.healthcheck_url),
        "healthcheck_interval": app.healthcheck_interval_s,
        "healthcheck_threshold": app.healthcheck_threshold,
        "health": AppHealth.INITIALIZING if app.healthcheck_url else AppHealth.DISABLED,
        "display_order": app.order,
        "display_group": storable(app.group)[:64] or None,
        "hidden": app.hidden,
        "open_in": AppOpenIn(app.open_in),
        "tooltip": storable(app.tooltip)[:2048],
    }
