"""Builds of workspaces, and their deadlines, over the API."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.reads.workspaces import WorkspaceShown
from cli.changing import unless_seen
from cli.remote.answers import field_of, id_of
from cli.remote.client import Client, route
from cli.remote.source import RemoteSource
from cli.remote.templates import find_template
from db.errors import unknown_user


@dataclass(frozen=True, kw_only=True)
class RemoteBuild:
    """A build that a server has enqueued."""

    build_id: uuid.UUID
    job_id: uuid.UUID


def create(
    client: Client,
    owner: str,
    name: str,
    *,
    template: str,
    organization: str | None,
    values: Mapping[str, Any],
) -> RemoteBuild:
    """Create a workspace, and enqueue its first start."""
    template_id = find_template(client, template, organization)
    body = {**values, "name": name, "template_id": str(template_id)}
    with unless_seen(unknown_user(owner)):
        made = client.ask("POST", route("users", owner, "workspaces"), body=body)
    return _build(client, field_of(client, made, "latest_build", dict))


def build(client: Client, owner: str, name: str, body: Mapping[str, Any]) -> RemoteBuild:
    """Enqueue a build of a workspace."""
    path = route("workspaces", find(client, owner, name), "builds")
    return _build(client, client.ask("POST", path, body=body))


def find(client: Client, owner: str, name: str) -> uuid.UUID:
    """Return the id of a workspace.

    Raises:
        NotFoundError: the user of the token sees none of that owner and name.
    """
    return RemoteSource(client).read(WorkspaceShown(user=owner, name=name)).id


def _build(client: Client, answer: Mapping[str, Any]) -> RemoteBuild:
    return RemoteBuild(build_id=id_of(client, answer), job_id=id_of(client, answer, "job.id"))


def stop_after(client: Client, owner: str, name: str, span: timedelta) -> None:
    """Store how long a workspace runs after its next start; no time: until somebody stops it."""
    ttl_ms = span // timedelta(milliseconds=1) or None
    path = route("workspaces", find(client, owner, name), "ttl")
    client.ask("PUT", path, body={"ttl_ms": ttl_ms})


def extend(client: Client, owner: str, name: str, deadline: datetime) -> None:
    """Let a running workspace run until another time."""
    path = route("workspaces", find(client, owner, name), "extend")
    client.ask("PUT", path, body={"deadline": deadline.isoformat()})


def rename(client: Client, owner: str, name: str, new: str) -> None:
    """Give a workspace another name."""
    client.ask("PATCH", route("workspaces", find(client, owner, name)), body={"name": new})
