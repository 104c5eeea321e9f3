"""Store the agents of a job and what runs in them, in the transaction that finishes it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.jobs.agents import Agent, AgentMetadata, App, Devcontainer, Monitor, Script
from db.jobs.approws import insert_apps
from db.jobs.rows import insert_rows
from db.schema.agentenums import AgentKeyScope, DisplayApp
from db.schema.tables import (
    WorkspaceAgent,
    WorkspaceAgentDevcontainer,
    WorkspaceAgentLogSource,
    WorkspaceAgentMemoryResourceMonitor,
    WorkspaceAgentMetadatum,
    WorkspaceAgentScript,
    WorkspaceAgentVolumeResourceMonitor,
)
from db.texts import storable

_DEVCONTAINER_ICON = "/emojis/1f4e6.png"

Row = dict[str, Any]


def insert_agents(
    session: Session, job_id: uuid.UUID, agents: Sequence[tuple[uuid.UUID, Agent]]
) -> None:
    """Store agents with their apps, scripts, development containers and monitors.

    Args:
        agents: each with the id of the resource that hosts it.
    """
    rows = _Rows()
    for resource_id, agent in agents:
        rows.add(resource_id, agent)
    for table, found in rows.of_table.items():
        insert_rows(session, table, found)
    insert_apps(session, job_id, rows.apps)


class _Rows:
    """The rows of each table, in the order in which they must be inserted."""

    def __init__(self) -> None:
        self.of_table: dict[type[Any], list[Row]] = {}
        self.apps: list[tuple[uuid.UUID, App]] = []

    def add(self, resource_id: uuid.UUID, agent: Agent) -> None:
        agent_id = uuid.uuid4()
        row = {"id": agent_id, "resource_id": resource_id, **_agent_row(agent)}
        self._add(WorkspaceAgent, row)
        self._add_contents(agent_id, agent.apps, agent.scripts)
        for found in _by_key(agent.metadata).values():
            self._add(WorkspaceAgentMetadatum, _metadata_row(agent_id, found))
        if agent.memory:
            self._add(WorkspaceAgentMemoryResourceMonitor, _monitor_row(agent_id, agent.memory))
        for path, volume in _by_path(agent.volumes).items():
            self._add(
                WorkspaceAgentVolumeResourceMonitor,
                {**_monitor_row(agent_id, volume), "path": path},
            )
        for container in agent.devcontainers:
            self._add_devcontainer(row, container)

    def _add_contents(
        self, agent_id: uuid.UUID, apps: Sequence[App], scripts: Sequence[Script]
    ) -> None:
        self.apps += [(agent_id, app) for app in apps]
        for script in scripts:
            self._add_script(agent_id, uuid.uuid4(), script)

    def _add_script(self, agent_id: uuid.UUID, source_id: uuid.UUID, script: Script) -> None:
        self._add(WorkspaceAgentLogSource, _log_source_row(agent_id, source_id, script))
        self._add(WorkspaceAgentScript, _script_row(agent_id, source_id, script))

    def _add_devcontainer(self, parent: Row, container: Devcontainer) -> None:
        container_id, subagent_id = uuid.uuid4(), None
        if container.is_agent:
            subagent_id = uuid.uuid4()
            self._add(WorkspaceAgent, _subagent_row(subagent_id, parent, container))
            self._add_contents(subagent_id, container.apps, container.scripts)
        row = _devcontainer_row(container)
        self._add(
            WorkspaceAgentDevcontainer,
            {
                "id": container_id,
                "workspace_agent_id": parent["id"],
                "subagent_id": subagent_id,
                **row,
            },
        )
        # The log of starting it needs a source; its script does nothing.
        starting = Script(display_name=f"Dev Container ({row['name']})", icon=_DEVCONTAINER_ICON)
        self._add_script(parent["id"], container_id, starting)

    def _add(self, table: type[Any], row: Row) -> None:
        self.of_table.setdefault(table, []).append(row)


def _agent_row(agent: Agent) -> Row:
    return {
        "parent_id": None,
        "name": storable(agent.name)[:64],
        "auth_token": uuid.UUID(agent.token) if agent.token else uuid.uuid4(),
        "auth_instance_id": storable(agent.instance_id) or None,
        "architecture": storable(agent.architecture)[:64],
        "operating_system": storable(agent.operating_system)[:64],
        "environment_variables": _environment(agent.environment),
        "directory": storable(agent.directory)[:4096],
        "connection_timeout_seconds": agent.connection_timeout_s,
        "troubleshooting_url": storable(agent.troubleshooting_url),
        "motd_file": storable(agent.motd_file),
        "display_apps": [DisplayApp(name) for name in agent.display_apps],
        "display_order": agent.order,
        "api_key_scope": AgentKeyScope(agent.api_key_scope),
    }


def _subagent_row(row_id: uuid.UUID, parent: Row, container: Devcontainer) -> Row:
    """Return the agent of a development container, which is like its parent in the rest."""
    return {
        **parent,
        "id": row_id,
        "parent_id": parent["id"],
        "name": storable(container.name)[:64],
        "auth_token": uuid.uuid4(),
        "auth_instance_id": None,
        "environment_variables": _environment(container.environment),
        "directory": storable(container.workspace_folder)[:4096],
        "troubleshooting_url": "",
        "motd_file": "",
        "display_apps": [],
        "display_order": 0,
    }


def _environment(variables: Mapping[str, str]) -> dict[str, str] | None:
    return {storable(name): storable(value) for name, value in variables.items()} or None


def _by_key(metadata: Sequence[AgentMetadata]) -> dict[str, AgentMetadata]:
    return {storable(found.key)[:127]: found for found in metadata}


def _by_path(volumes: Sequence[Monitor]) -> dict[str, Monitor]:
    return {storable(found.path): found for found in volumes}


def _metadata_row(agent_id: uuid.UUID, found: AgentMetadata) -> Row:
    return {
        "workspace_agent_id": agent_id,
        "key": storable(found.key)[:127],
        "display_name": storable(found.display_name)[:127],
        "script": storable(found.script)[:65535],
        "interval": found.interval_s,
        "timeout": found.timeout_s,
        "display_order": found.order,
    }


def _monitor_row(agent_id: uuid.UUID, monitor: Monitor) -> Row:
    return {"agent_id": agent_id, "enabled": monitor.enabled, "threshold": monitor.threshold}


def _log_source_row(agent_id: uuid.UUID, source_id: uuid.UUID, script: Script) -> Row:
    return {
        "workspace_agent_id": agent_id,
        "id": source_id,
        "display_name": storable(script.display_name)[:127],
        "icon": storable(script.icon),
    }


def _script_row(agent_id: uuid.UUID, source_id: uuid.UUID, script: Script) -> Row:
    return {
        "workspace_agent_id": agent_id,
        "log_source_id": source_id,
        "display_name": storable(script.display_name),
        "script": storable(script.script),
        "log_path": storable(script.log_path),
        "cron": storable(script.cron),
        "timeout_seconds": script.timeout_s,
        "start_blocks_login": script.start_blocks_login,
        "run_on_start": script.run_on_start,
        "run_on_stop": script.run_on_stop,
    }


def _devcontainer_row(container: Devcontainer) -> Row:
    return {
        "name": storable(container.name),
        "workspace_folder": storable(container.workspace_folder),
        "config_path": storable(container.config_path),
    }
