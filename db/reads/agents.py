"""Agents of resources, with what runs in them."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Row, TextClause, text
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import NotFoundError
from db.reads.agentcontract import (
    AgentStatus,
    StartupScriptBehavior,
    WorkspaceAgent,
    WorkspaceAgentHealth,
    WorkspaceAgentLogSource,
    WorkspaceAgentScript,
    WorkspaceApp,
    WorkspaceAppHealthcheck,
)

_SECOND_NS = 1_000_000_000
_UNHEALTHY = {
    AgentStatus.CONNECTING: "the agent has not connected yet",
    AgentStatus.TIMEOUT: "the agent has not connected in time",
    AgentStatus.DISCONNECTED: "the agent has lost its connection",
}
T = TypeVar("T")

# Uses: ix_workspace_agents_resource_id. The token is never read.
_AGENTS = text("""
    SELECT id, parent_id, created_at, updated_at, first_connected_at, last_connected_at,
           disconnected_at, started_at, ready_at, lifecycle_state, name, resource_id,
           auth_instance_id AS instance_id, architecture, operating_system,
           coalesce(environment_variables, '{}'::jsonb) AS environment_variables,
           directory, expanded_directory, version, api_version, connection_timeout_seconds,
           troubleshooting_url, CAST(display_apps AS text[]) AS display_apps,
           CASE
               WHEN first_connected_at IS NOT NULL AND disconnected_at > last_connected_at
                   THEN 'disconnected'
               WHEN first_connected_at IS NOT NULL
                   THEN 'connected'
               WHEN connection_timeout_seconds > 0
                   AND created_at + make_interval(secs => connection_timeout_seconds) < now()
                   THEN 'timeout'
               ELSE 'connecting'
           END AS status
    FROM workspace_agents
    WHERE resource_id = ANY(:ids) AND NOT deleted
    ORDER BY parent_id NULLS FIRST, display_order, name
""")
# Uses: uq_workspace_apps_agent_id_slug.
_APPS = text("""
    SELECT agent_id, id, slug, display_name, icon, url, command, external, subdomain, sharing_level,
           healthcheck_url, healthcheck_interval, healthcheck_threshold, health,
           display_group AS "group", hidden, open_in, nullif(tooltip, '') AS tooltip
    FROM workspace_apps
    WHERE agent_id = ANY(:ids)
    ORDER BY display_order, display_name, slug
""")
# Uses: ix_workspace_agent_scripts_workspace_agent_id.
_SCRIPTS = text("""
    SELECT workspace_agent_id, id, log_source_id, display_name, log_path, script, cron,
           run_on_start, run_on_stop, start_blocks_login, timeout_seconds
    FROM workspace_agent_scripts
    WHERE workspace_agent_id = ANY(:ids)
    ORDER BY display_name, id
""")
# Uses: pk_workspace_agent_log_sources.
_LOG_SOURCES = text("""
    SELECT workspace_agent_id, id, created_at, display_name, icon
    FROM workspace_agent_log_sources
    WHERE workspace_agent_id = ANY(:ids)
    ORDER BY display_name, id
""")


def agents_of(
    session: Session, resource_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[WorkspaceAgent]]:
    """Return the agents of each resource; a resource without agents is left out.

    An agent of a development container comes after the others.
    """
    if not resource_ids:
        return {}
    rows = session.execute(_AGENTS, {"ids": list(resource_ids)}).all()
    ids = [row.id for row in rows]
    apps = _grouped(session, _APPS, ids, _app)
    scripts = _grouped(session, _SCRIPTS, ids, _script)
    sources = _grouped(session, _LOG_SOURCES, ids, _log_source)
    agents: dict[uuid.UUID, list[WorkspaceAgent]] = defaultdict(list)
    for row in rows:
        agent = _agent(row, apps[row.id], scripts[row.id], sources[row.id])
        agents[row.resource_id].append(agent)
    return dict(agents)


def _grouped(
    session: Session,
    statement: TextClause,
    agent_ids: Sequence[uuid.UUID],
    make: Callable[[Row[Any]], T],
) -> dict[uuid.UUID, list[T]]:
    """Return what the rows of a statement make, by the id of the agent in their first column."""
    found: dict[uuid.UUID, list[T]] = defaultdict(list)
    if agent_ids:
        for row in session.execute(statement, {"ids": agent_ids}):
            found[row[0]].append(make(row))
    return found


def _agent(
    row: Row[Any],
    apps: list[WorkspaceApp],
    scripts: list[WorkspaceAgentScript],
    log_sources: list[WorkspaceAgentLogSource],
) -> WorkspaceAgent:
    status = AgentStatus(row.status)
    waits = any(script.start_blocks_login for script in scripts)
    return WorkspaceAgent(
        **row._asdict(),
        health=WorkspaceAgentHealth(
            healthy=status is AgentStatus.CONNECTED, reason=_UNHEALTHY.get(status)
        ),
        apps=apps,
        scripts=scripts,
        log_sources=log_sources,
        startup_script_behavior=(
            StartupScriptBehavior.BLOCKING if waits else StartupScriptBehavior.NON_BLOCKING
        ),
        subsystems=[],
        logs_length=0,
        logs_overflowed=False,
    )


def _app(row: Row[Any]) -> WorkspaceApp:
    fields = row._asdict()
    del fields["agent_id"]
    healthcheck = WorkspaceAppHealthcheck(
        url=fields.pop("healthcheck_url"),
        interval=fields.pop("healthcheck_interval"),
        threshold=fields.pop("healthcheck_threshold"),
    )
    return WorkspaceApp(**fields, healthcheck=healthcheck)


def _script(row: Row[Any]) -> WorkspaceAgentScript:
    fields = row._asdict()
    del fields["workspace_agent_id"]
    return WorkspaceAgentScript(**fields, timeout=fields.pop("timeout_seconds") * _SECOND_NS)


def _log_source(row: Row[Any]) -> WorkspaceAgentLogSource:
    return WorkspaceAgentLogSource(**row._asdict())


def find_workspace_of_agent(session: Session, agent_id: uuid.UUID) -> uuid.UUID:
    """Return the id of the workspace that an agent belongs to.

    Raises:
        NotFoundError: there is no such agent, or it belongs to a template version.
    """
    # Uses: pk_workspace_agents, pk_workspace_resources, uq_workspace_builds_job_id.
    found = session.execute(
        sql("""
            SELECT build.workspace_id
            FROM workspace_agents AS agent
            JOIN workspace_resources AS resource ON resource.id = agent.resource_id
            JOIN workspace_builds AS build ON build.job_id = resource.job_id
            WHERE agent.id = :id
        """),
        {"id": agent_id},
    ).scalar_one_or_none()
    if found is None:
        raise NotFoundError(f"there is no agent {agent_id}")
    return uuid.UUID(str(found))
