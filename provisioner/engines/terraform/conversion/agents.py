"""The agents of a template, each at the resource that hosts it."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from db.jobs.agents import Agent, AgentMetadata, App, Devcontainer, Monitor, Script
from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion import apps, scripts, variables
from provisioner.engines.terraform.conversion.attributes import (
    Attributes,
    block,
    blocks,
    flag,
    integer,
    text,
    texts,
)
from provisioner.engines.terraform.conversion.children import AGENT, DEVCONTAINER, Children
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.hosts import Hosts
from provisioner.engines.terraform.conversion.instances import Instance
from provisioner.engines.terraform.conversion.names import check_agent_names

_INSTANCE = "coder_agent_instance"
_DISPLAY_APPS = {
    "vscode": True,
    "vscode_insiders": False,
    "ssh_helper": True,
    "port_forwarding_helper": True,
    "web_terminal": True,
}
"""What a user sees of an agent without a ``display_apps`` block."""

_INSTANCE_ID = {
    "google_compute_instance": "instance_id",
    "aws_instance": "id",
    "aws_spot_instance_request": "spot_instance_id",
    "azurerm_linux_virtual_machine": "virtual_machine_id",
    "azurerm_windows_virtual_machine": "virtual_machine_id",
}


def agents_of(
    instances: Sequence[Instance], hosts: Hosts, graph: Graph
) -> Mapping[int, Sequence[Agent]]:
    """Return the agents of each host, by its position.

    A host is the nearest resource that needs the agent. An agent that no resource needs, such as
    that of a stopped workspace, is left out with its apps.

    Raises:
        ConversionError: a name or slug is not valid or not unique, or an agent has several hosts.
    """
    apps.check_apps(instances)
    found = [one for one in instances if one.mode == "managed" and one.type == AGENT]
    check_agent_names([agent.name for agent in found])
    children = Children(instances, graph)
    of_host: dict[int, list[Agent]] = defaultdict(list)
    names: list[str] = []
    for instance in found:
        for position, host in hosts.at(graph.nearest_dependent(instance.label, hosts)):
            agent = _agent(instance, children, _instance_id(instance, host, instances))
            names += _names(agent)
            of_host[position].append(agent)
    _check_unique_in_build(names)
    return of_host


def _names(agent: Agent) -> Iterator[str]:
    yield agent.name
    yield from (container.name for container in agent.devcontainers if container.is_agent)


def _check_unique_in_build(names: Sequence[str]) -> None:
    """Refuse an agent whose host has several instances, and a container with an agent's name."""
    seen = set()
    for name in names:
        if name.lower() in seen:
            raise ConversionError(
                f'workspace agent name "{name}" already exists in this workspace build'
            )
        seen.add(name.lower())


def _agent(instance: Instance, children: Children, instance_id: str) -> Agent:
    given = instance.attributes
    monitoring = block(given, "resources_monitoring")
    return Agent(
        name=instance.name,
        token=_token(given),
        instance_id=instance_id,
        architecture=text(given, "arch"),
        operating_system=text(given, "os"),
        directory=text(given, "dir"),
        environment={**_variables(instance, children), **texts(given, "env")},
        connection_timeout_s=integer(given, "connection_timeout", 120),
        troubleshooting_url=text(given, "troubleshooting_url"),
        motd_file=text(given, "motd_file"),
        display_apps=_display_apps(given),
        order=integer(given, "order"),
        api_key_scope="no_user_data" if text(given, "api_key_scope") == "no_user_data" else "all",
        apps=_apps(instance, children),
        scripts=(*scripts.own_scripts_of(given), *_scripts(instance, children)),
        devcontainers=tuple(
            _devcontainer(found, children) for found in children.of(instance, DEVCONTAINER)
        ),
        metadata=tuple(map(_metadata, blocks(given, "metadata"))),
        memory=next(map(_monitor, blocks(monitoring, "memory")), None),
        volumes=tuple(map(_monitor, blocks(monitoring, "volume"))),
    )


def _token(agent: Attributes) -> str:
    """Return the token of an agent that signs in by one."""
    token = text(agent, "token")
    if text(agent, "auth", "token") != "token" or not token:
        return ""
    try:
        return str(uuid.UUID(token))
    except ValueError:
        raise ConversionError("invalid auth token format; must be uuid") from None


def _instance_id(agent: Instance, host: Instance, instances: Sequence[Instance]) -> str:
    """Return the id of the machine that the agent signs in with; empty if by a token."""
    if text(agent.attributes, "auth", "token") == "token":
        return ""
    agent_id = text(agent.attributes, "id")
    for found in instances:
        if found.type == _INSTANCE and text(found.attributes, "agent_id") == agent_id:
            return text(found.attributes, "instance_id")
    return text(host.attributes, _INSTANCE_ID.get(host.type, ""))


def _display_apps(agent: Attributes) -> tuple[str, ...]:
    shown = block(agent, "display_apps")
    return tuple(
        name for name, default in _DISPLAY_APPS.items() if flag(shown, name, default=default)
    )


def _metadata(given: Attributes) -> AgentMetadata:
    return AgentMetadata(
        key=text(given, "key"),
        script=text(given, "script"),
        display_name=text(given, "display_name"),
        interval_s=integer(given, "interval"),
        timeout_s=integer(given, "timeout"),
        order=integer(given, "order"),
    )


def _monitor(given: Attributes) -> Monitor:
    return Monitor(
        enabled=flag(given, "enabled"),
        threshold=integer(given, "threshold"),
        path=text(given, "path"),
    )


def _devcontainer(instance: Instance, children: Children) -> Devcontainer:
    return Devcontainer(
        name=instance.name,
        workspace_folder=text(instance.attributes, "workspace_folder"),
        config_path=text(instance.attributes, "config_path"),
        apps=_apps(instance, children),
        scripts=_scripts(instance, children),
        environment=_variables(instance, children),
    )


def _apps(parent: Instance, children: Children) -> tuple[App, ...]:
    return tuple(map(apps.app_of, children.of(parent, apps.TYPE)))


def _scripts(parent: Instance, children: Children) -> tuple[Script, ...]:
    return tuple(map(scripts.script_of, children.of(parent, scripts.TYPE)))


def _variables(parent: Instance, children: Children) -> dict[str, str]:
    return variables.variables_of(children.of(parent, variables.TYPE))
