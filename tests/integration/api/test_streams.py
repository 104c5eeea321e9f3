"""Following logs: every line once, over reconnects, restarts and cut connections."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from httpx_ws import WebSocketDisconnect, connect_ws
from sqlalchemy import select, text

from db.jobs.transitions import ClaimedJob
from db.outage import retry_outage
from db.schema.enums import TokenScope
from db.schema.tables import User, WorkspaceBuild
from tests.harness.api.client import AnswerError, Client
from tests.harness.api.door import Door
from tests.harness.api.serving import served
from tests.harness.waiting import wait_until


@pytest.fixture
def job(door: Door, alice: User, owner: User) -> ClaimedJob:
    """A build of alice's workspace that runs."""
    template = door.factory.template(organization=door.organization, created_by=owner)
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    return door.factory.running_build(workspace)


@pytest.fixture
def path(door: Door, job: ClaimedJob) -> str:
    with door.factory.database.begin() as session:
        query = select(WorkspaceBuild.id).where(WorkspaceBuild.job_id == job.id)
        return f"workspacebuilds/{session.scalars(query).one()}/logs"


class Follower:
    """A client that follows a log in a thread."""

    def __init__(self, client: Client, path: str, *, after: int = 0) -> None:
        self.lines: list[dict[str, Any]] = []
        self.thread = threading.Thread(target=self._run, args=(client, path, after))
        self.thread.start()

    def _run(self, client: Client, path: str, after: int) -> None:
        with client.logs(f"{path}?follow&after={after}") as lines:
            for line in lines:
                self.lines.append(line)

    @property
    def texts(self) -> list[str]:
        return [line["output"] for line in self.lines if line["output"]]

    def join(self) -> None:
        self.thread.join(60)
        assert not self.thread.is_alive()


def events(client: Client, path: str, after: int = 0, *, stop_after: int = 10**6) -> list[Any]:
    """Return the ids and lines of server-sent events, until the log is done."""
    headers = {**client.headers, "Accept": "text/event-stream"}
    if after:
        headers["Last-Event-ID"] = str(after)
    found: list[Any] = []
    with client.http.stream("GET", f"/api/v2/{path}", headers=headers) as answer:
        assert answer.status_code == 200
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                event[name] = value
                continue
            if event.get("event") == "done":
                return found
            if "id" in event:
                found.append((int(event["id"]), event["data"]))
            if len(found) == stop_after:
                return found
            event = {}
    return found


def test_a_follower_gets_every_line_and_a_normal_end(
    door: Door, member: Client, job: ClaimedJob, path: str
) -> None:
    door.factory.write_lines(job, "one", "two")
    follower = Follower(member, path)
    wait_until(lambda: follower.texts == ["one", "two"], "the stored lines")
    door.factory.write_lines(job, "three", stage="Planning")
    wait_until(lambda: follower.texts[-1:] == ["three"], "the new line")
    assert [line["stage"] for line in follower.lines if not line["output"]] == [
        "Setting up",
        "Planning",
    ]
    door.factory.finish(job)
    follower.join()


def test_a_log_is_resumed_after_any_event(
    door: Door, member: Client, job: ClaimedJob, path: str
) -> None:
    for number in range(4):
        door.factory.write_lines(job, f"{number}a", f"{number}b", stage=f"stage {number // 2}")
    door.factory.finish(job)
    whole = events(member, path)
    assert len(whole) == 10
    for position in range(1, len(whole)):
        assert events(member, path, whole[position - 1][0]) == whole[position:]


def test_followers_of_one_job_share_its_queries(
    door: Door, member: Client, job: ClaimedJob, path: str
) -> None:
    followers = [Follower(member, path) for _ in range(10)]
    wait_until(lambda: door.site.hub.followers == 10, "ten followers")
    wait_until(lambda: door.site.hub.is_pushed, "notices")
    before = door.site.hub.queries
    for number in range(5):
        door.factory.write_lines(job, str(number))
        wait_until(lambda: all(f.texts[-1:] == [str(number)] for f in followers), "the line")  # noqa: B023
    assert door.site.hub.queries - before <= 2 * 5
    door.factory.finish(job)
    for follower in followers:
        follower.join()


def test_lines_arrive_soon_after_their_commit(
    door: Door, member: Client, job: ClaimedJob, path: str
) -> None:
    follower = Follower(member, path)
    wait_until(lambda: door.site.hub.is_pushed and door.site.hub.followers, "a follower")
    delays = []
    for number in range(20):
        door.factory.write_lines(job, str(number))
        committed = time.monotonic()
        wait_until(lambda: follower.texts[-1:] == [str(number)], "the line", tick_s=0.001)  # noqa: B023
        delays.append(time.monotonic() - committed)
    # A poll would take half a second. The machine may be busy, so this is not the aim itself.
    assert sorted(delays)[10] < 0.4
    door.factory.finish(job)
    follower.join()


def test_a_cut_connection_to_postgresql_loses_no_line(
    door: Door, member: Client, job: ClaimedJob, path: str
) -> None:
    door.factory.write_lines(job, "before")
    follower = Follower(member, path)
    wait_until(lambda: follower.texts == ["before"], "the first line")
    with door.factory.database.begin() as session:
        session.execute(
            text("""
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
            """)
        )
    # Not by emptying the pool: the server may have a connection out, which nobody would close.
    end = time.monotonic() + 30
    retry_outage(
        lambda: door.factory.write_lines(job, "after"), may_go_on=lambda: time.monotonic() < end
    )
    wait_until(lambda: follower.texts == ["before", "after"], "the line after the cut")
    door.factory.finish(job)
    follower.join()


def test_a_follower_that_reads_slowly_gets_everything(
    door: Door, member: Client, job: ClaimedJob, path: str
) -> None:
    total = 60
    url = f"{door.url.replace('http', 'ws', 1)}/api/v2/{path}?follow"
    got: list[str] = []
    socket: Any
    with connect_ws(url, member.http, headers=member.headers) as socket:
        for number in range(total):
            door.factory.write_lines(job, *[f"{number} {'x' * 1000}"] * 20)
        door.factory.finish(job)
        end = receive_all(socket, got)
    assert end == 1000
    assert len(got) == total * 20 + 1  # and the heading of the stage


def receive_all(socket: Any, got: list[str]) -> int:
    """Receive messages until the server closes, and return its code."""
    while True:
        try:
            got.append(socket.receive_text(timeout=60))
        except WebSocketDisconnect as end:
            return end.code


def test_a_server_that_stops_lets_clients_resume_at_another(
    door: Door, alice: User, job: ClaimedJob, path: str
) -> None:
    token = door.token(alice)
    with other_server(door) as url:
        client = Client(url, token)
        follower = Follower(client, path)
        door.factory.write_lines(job, "one")
        wait_until(lambda: follower.texts == ["one"], "the line")
    follower.join()
    client.close()
    door.factory.write_lines(job, "two")
    second = Follower(door.client_of(token), path, after=follower.lines[-1]["id"])
    wait_until(lambda: second.texts == ["two"], "the next line")
    door.factory.finish(job)
    second.join()


@contextmanager
def other_server(door: Door) -> Iterator[str]:
    redis_url = door.site.redis_url
    assert redis_url is not None
    with served(door.factory.database, redis_url=redis_url) as (url, _site):
        yield url


def test_a_stranger_cannot_follow(door: Door, job: ClaimedJob, path: str) -> None:
    stranger = door.client(door.user())
    with pytest.raises(AnswerError) as caught, stranger.logs(f"{path}?follow"):
        pass
    assert caught.value.status == 404
    unknown = f"workspacebuilds/{uuid.uuid4()}/logs?follow"
    with pytest.raises(AnswerError) as missing, stranger.logs(unknown):
        pass
    assert missing.value.message == caught.value.message


def test_the_streams_of_a_token_are_limited(
    door: Door, alice: User, job: ClaimedJob, path: str
) -> None:
    redis_url = door.site.redis_url
    assert redis_url is not None
    with served(door.factory.database, redis_url=redis_url, streams_per_token=1) as (url, site):
        client = Client(url, door.token(alice, TokenScope.READ))
        first = Follower(client, path)
        wait_until(lambda: site.hub.followers == 1, "the first follower")
        with pytest.raises(AnswerError) as caught, client.logs(f"{path}?follow"):
            pass
        assert caught.value.status == 429
        door.factory.finish(job)
        first.join()
        client.close()
