"""Following a job as the command line does: each update once, as soon as it is committed."""

from __future__ import annotations

import math
import uuid
from collections.abc import Generator

import pytest

from api.errors import ApiError
from api.streams import updates as updates_of_jobs
from cli.remote.client import Client
from cli.remote.errors import ServerError
from cli.remote.server import find_server
from cli.remote.source import RemoteSource
from db.catalog.tokens import revoke_token
from db.jobs.transitions import ClaimedJob
from db.reads.follow import Update
from db.schema.enums import JobStatus
from db.schema.tables import User
from tests.harness.api.door import Door
from tests.harness.waiting import wait_until


@pytest.fixture
def job(door: Door, alice: User, owner: User) -> ClaimedJob:
    """A build of alice's workspace that runs."""
    template = door.factory.template(organization=door.organization, created_by=owner)
    return door.factory.running_build(door.factory.workspace(owner=alice, template=template))


def followed(
    door: Door, token: str, job_id: uuid.UUID, limit_s: float = math.inf
) -> Generator[Update]:
    server = find_server({"PROVISIONERD_URL": door.url, "PROVISIONERD_TOKEN": token})
    yield from RemoteSource(Client(server=server)).updates(job_id, limit_s=limit_s)


def may_follow(door: Door, token: str) -> bool:
    """Whether the token has no open stream."""
    try:
        door.site.hub.take(token.partition("-")[0], 1)()
    except ApiError:
        return False
    return True


def test_lines_and_the_end_are_pushed(
    door: Door, alice: User, job: ClaimedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A poll would come too late for the client.
    monkeypatch.setattr(updates_of_jobs, "PUSHED_POLL_S", 3600.0)
    wait_until(lambda: door.site.hub.is_pushed, "notices to arrive")
    updates = followed(door, door.token(alice), job.id)
    assert next(updates).progress.status is JobStatus.RUNNING
    door.factory.write_lines(job, "one", "two")
    lines = next(update.lines for update in updates if update.lines)
    assert [line.output for line in lines] == ["one", "two"]
    door.factory.finish(job)
    assert list(updates)[-1].progress.status is JobStatus.SUCCEEDED


def test_a_follower_that_goes_leaves_nothing_behind(
    door: Door, alice: User, job: ClaimedJob
) -> None:
    token = door.token(alice)
    updates = followed(door, token, job.id)
    next(updates)
    assert not may_follow(door, token)
    updates.close()
    door.factory.finish(job)
    wait_until(lambda: may_follow(door, token), "the stream to end")


def test_a_job_is_followed_for_a_limited_time(door: Door, alice: User, job: ClaimedJob) -> None:
    (update,) = followed(door, door.token(alice), job.id, limit_s=0)
    assert (update.progress.status, update.is_last) == (JobStatus.RUNNING, False)


def test_a_follower_whose_token_is_revoked_is_told(
    door: Door, alice: User, job: ClaimedJob
) -> None:
    token = door.token(alice)
    updates = followed(door, token, job.id)
    next(updates)
    with door.factory.database.begin() as session:
        revoke_token(session, token.partition("-")[0])
    door.factory.write_lines(job, "after that")
    with pytest.raises(ServerError, match="does not accept the token"):
        list(updates)
