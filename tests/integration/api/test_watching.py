"""Watching a workspace, with readers as strict as Go's client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from httpx_ws import WebSocketDisconnect, WebSocketUpgradeError, connect_ws

from db.schema.enums import Transition, UserStatus
from db.schema.tables import User, Workspace
from tests.harness.api import shapes
from tests.harness.api.client import TIMEOUT_S, Client
from tests.harness.api.door import Door

Watched = Iterator[tuple[str, Any]]
Watching = Callable[[Client, Workspace], AbstractContextManager[Watched]]


@contextmanager
def by_events(client: Client, workspace: Workspace) -> Iterator[Watched]:
    """The events of the stream: their types and what they carry."""
    path = f"/api/v2/workspaces/{workspace.id}/watch"
    with client.http.stream("GET", path, headers=client.headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Watched:
    for line in lines:
        if not line:
            continue
        assert line.startswith("event: ")
        kind = line.removeprefix("event: ")
        following = next(lines)
        if kind == "ping":
            assert not following
            yield kind, None
            continue
        assert following.startswith("data: ")
        yield kind, json.loads(following.removeprefix("data: "))


@contextmanager
def by_socket(client: Client, workspace: Workspace) -> Iterator[Watched]:
    """The messages of the websocket: their types and what they carry."""
    url = f"{client.url.replace('http', 'ws', 1)}/api/v2/workspaces/{workspace.id}/watch-ws"
    socket: Any
    with connect_ws(url, client.http, headers=client.headers) as socket:
        yield _messages(socket)


def _messages(socket: Any) -> Watched:
    while True:
        try:
            message = json.loads(socket.receive_text(timeout=TIMEOUT_S))
        except WebSocketDisconnect:
            return
        assert set(message) == {"type", "data"}
        yield message["type"], message["data"]


@pytest.fixture(params=[by_events, by_socket])
def watching(request: pytest.FixtureRequest) -> Watching:
    watching: Watching = request.param
    return watching


def next_data(events: Watched) -> Any:
    """Return what the next event with a workspace carries."""
    kind, data = next(event for event in events if event[0] != "ping")
    assert kind == "data"
    return shapes.WORKSPACE(data, "workspace")


def status_after(events: Watched, passing: set[str]) -> str:
    """Return the first status that is not one of those in which the stream may still see it."""
    while (status := str(next_data(events)["latest_build"]["status"])) in passing:
        pass
    return status


@pytest.fixture
def workspace(door: Door, alice: User, owner: User) -> Workspace:
    template = door.factory.template(organization=door.organization, created_by=owner)
    made = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(made)
    return made


def test_a_watcher_gets_the_workspace_at_once_and_after_each_change(
    door: Door, member: Client, workspace: Workspace, watching: Watching
) -> None:
    with watching(member, workspace) as events:
        assert next(events) == ("ping", None)
        assert next_data(events)["latest_build"]["status"] == "running"
        job = door.factory.running_build(workspace, transition=Transition.STOP)
        assert status_after(events, {"running", "pending"}) == "stopping"
        door.factory.finish(job)
        assert status_after(events, {"stopping"}) == "stopped"


def test_a_watcher_who_is_suspended_gets_the_reason_and_an_end(
    door: Door, member: Client, workspace: Workspace, alice: User, watching: Watching
) -> None:
    with watching(member, workspace) as events:
        next_data(events)
        with door.factory.database.begin() as session:
            session.get_one(User, alice.id).status = UserStatus.SUSPENDED
        kind, data = next(event for event in events if event[0] != "ping")
        assert (kind, "not active" in data["message"]) == ("error", True)
        assert list(events) == []


def test_a_stranger_watches_nothing(door: Door, workspace: Workspace) -> None:
    stranger = door.client(door.user(name="bob"))
    assert stranger.send("GET", f"workspaces/{workspace.id}/watch").status_code == 404
    with pytest.raises(WebSocketUpgradeError), by_socket(stranger, workspace):
        pass
