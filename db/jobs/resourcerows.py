"""Store the resources of a job, in the transaction that finishes it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.agentrows import insert_agents
from db.jobs.resources import Resource
from db.jobs.rows import insert_rows
from db.schema.enums import Transition
from db.schema.tables import WorkspaceResource, WorkspaceResourceMetadata
from db.texts import storable

_AI_TASK, _EXTERNAL_AGENT = "coder_ai_task", "coder_external_agent"


def insert_resources(
    session: Session, job_id: uuid.UUID, transition: Transition, resources: Sequence[Resource]
) -> None:
    """Store resources with their metadata and agents.

    Texts are cut to what the columns hold.
    """
    by_id = {uuid.uuid4(): resource for resource in resources}
    if not by_id:
        return
    job = {"job_id": job_id, "transition": transition}
    insert_rows(
        session,
        WorkspaceResource,
        [{"id": row_id, **job, **_resource(resource)} for row_id, resource in by_id.items()],
    )
    insert_rows(session, WorkspaceResourceMetadata, _metadata_rows(by_id))
    agents = [(row_id, agent) for row_id, found in by_id.items() for agent in found.agents]
    if agents:
        insert_agents(session, job_id, agents)
    _mark_build(session, job_id, {resource.type for resource in resources})


def _metadata_rows(resources: Mapping[uuid.UUID, Resource]) -> list[dict[str, Any]]:
    return [
        {"workspace_resource_id": row_id, **item}
        for row_id, resource in resources.items()
        for item in _metadata_items(resource)
    ]


def _mark_build(session: Session, job_id: uuid.UUID, types: set[str]) -> None:
    """Note on the build that it has a task or an external agent, if it has one."""
    if types & {_AI_TASK, _EXTERNAL_AGENT}:
        session.execute(
            sql("""
                UPDATE workspace_builds
                SET has_ai_task = :has_ai_task, has_external_agent = :has_external_agent
                WHERE job_id = :job_id
            """),
            {
                "job_id": job_id,
                "has_ai_task": _AI_TASK in types,
                "has_external_agent": _EXTERNAL_AGENT in types,
            },
        )


def _resource(resource: Resource) -> dict[str, Any]:
    return {
        "type": storable(resource.type)[:192],
        "name": storable(resource.name)[:64],
        "hide": resource.hide,
        "icon": storable(resource.icon)[:256],
        "instance_type": resource.instance_type and storable(resource.instance_type)[:256],
        "daily_cost": resource.daily_cost,
        "module_path": storable(resource.module_path),
    }


def _metadata_items(resource: Resource) -> Iterator[dict[str, Any]]:
    """Yield the items in a form that can be stored; the last item with a key wins.

    An item without a value is not stored. Source: Coder.
    """
    by_key = {storable(item.key)[:1024]: (item.value, item.sensitive) for item in resource.metadata}
    for key, (value, sensitive) in by_key.items():
        if value is not None:
            yield {"key": key, "value": storable(value)[:65536], "sensitive": sensitive}
