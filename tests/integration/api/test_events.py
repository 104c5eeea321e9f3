"""Events: complete, in order, resumable, and only for those who may see them."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from db.engine import Database
from db.jobs.events import EventType, record_workspace
from db.reads.events import FIRST, EventCursor, read_events
from db.schema.tables import User, Workspace
from tests.harness.api.client import Client
from tests.harness.api.door import Door
from tests.harness.waiting import wait_until


@pytest.fixture
def workspace(door: Door, alice: User, owner: User) -> Workspace:
    template = door.factory.template(organization=door.organization, created_by=owner)
    return door.factory.workspace(owner=alice, template=template, name="box")


def types_of(client: Client, query: str = "") -> list[str]:
    answer = client.send("GET", f"events{query}")
    assert answer.status_code == 200, answer.text
    return [event["type"] for event in answer.json()["events"]]


class Stream:
    """A client that receives events in a thread."""

    def __init__(self, client: Client, last: str = "") -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.is_open = False
        self._headers = {**client.headers, "Accept": "text/event-stream"}
        if last:
            self._headers["Last-Event-ID"] = last
        self._client = client
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_until(lambda: self.is_open, "the stream to open")

    def _run(self) -> None:
        with self._client.http.stream("GET", "/api/v2/events", headers=self._headers) as answer:
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                self.is_open = True
                name, _, value = line.partition(": ")
                if line:
                    event[name] = value
                elif "data" in event:
                    self.got.append((event["id"], json.loads(event["data"])))
                    event = {}

    @property
    def types(self) -> list[str]:
        return [event["type"] for _, event in self.got]


def test_a_build_and_its_workspace_leave_events(
    door: Door, member: Client, workspace: Workspace
) -> None:
    door.factory.finished_build(workspace)
    assert types_of(member) == ["workspace.created", "job.succeeded"]
    answer = member.send("GET", "events?types=job.succeeded").json()
    data = answer["events"][0]["data"]
    assert (data["workspace_name"], data["owner_name"], data["transition"]) == (
        "box",
        "alice",
        "start",
    )
    assert types_of(member, f"?after={answer['after']}") == []


def test_events_of_others_are_not_seen(door: Door, workspace: Workspace, admin: Client) -> None:
    door.factory.finished_build(workspace)
    assert types_of(door.client(door.user())) == []
    assert "workspace.created" in types_of(admin)
    assert "workspace.created" in types_of(door.client(door.user("organization-template-admin")))


def test_a_stream_resumes_after_the_last_event(
    door: Door, member: Client, workspace: Workspace
) -> None:
    first = Stream(member)
    door.factory.finished_build(workspace)
    wait_until(lambda: first.types == ["job.succeeded"], "the event")
    second = Stream(member, last=first.got[0][0])
    door.factory.finished_build(workspace)
    wait_until(lambda: second.types == ["job.succeeded"], "the next event only")
    assert second.got[0][0] != first.got[0][0]
    door.site.hub.close_soon()
    for stream in (first, second):
        stream.thread.join(30)


def test_an_event_that_commits_late_is_not_missed(database: Database, workspace: Workspace) -> None:
    with database.begin() as slow:
        record_workspace(slow, workspace.id, EventType.WORKSPACE_UPDATED)
        with database.begin() as fast:
            record_workspace(fast, workspace.id, EventType.WORKSPACE_UPDATED)
        with database.begin() as reader:
            before = read_events(reader, after=FIRST, organizations=None)
    with database.begin() as reader:
        position = EventCursor.parse(before[-1].id)
        after = read_events(reader, after=position, organizations=None)
    assert [event.type for event in before] == ["workspace.created"]
    assert [event.type for event in after] == ["workspace.updated"] * 2


@pytest.mark.parametrize("query", ["?after=x", "?after=1.99999999999999999999", "?types=color"])
def test_a_position_that_is_none_is_refused(member: Client, query: str) -> None:
    assert member.send("GET", f"events{query}").status_code == 400
