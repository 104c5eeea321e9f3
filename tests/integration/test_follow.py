"""Following a job: what is yielded, how often it is looked at, and when it ends."""

from __future__ import annotations

import uuid

import pytest

from db.engine import Database
from db.errors import NotFoundError
from db.reads import follow as following
from db.reads.follow import Pace, await_end, follow
from db.reads.logs import get_logs
from db.schema.enums import JobStatus
from tests.harness.factory import Factory


def test_following_ends_with_the_lines_that_came_last(factory: Factory, database: Database) -> None:
    job = factory.running_build()
    factory.write_lines(job, "first")

    def go_on(_pause_s: float) -> None:
        factory.write_lines(job, "last")
        factory.finish(job)

    updates = list(follow(database, job.id, wait=go_on))

    assert [[line.output for line in update.lines] for update in updates] == [["first"], ["last"]]
    assert [update.progress.status for update in updates] == [
        JobStatus.RUNNING,
        JobStatus.SUCCEEDED,
    ]


def test_a_job_is_looked_at_less_often_while_nothing_happens(
    factory: Factory, database: Database
) -> None:
    job = factory.running_build()
    pauses: list[float] = []

    def grow_tired(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 10:
            factory.finish(job)

    list(follow(database, job.id, wait=grow_tired))

    assert pauses == sorted(pauses)
    assert (pauses[0] < 0.3, pauses[-1]) == (True, 1.0)


def test_a_line_brings_the_first_pause_back(factory: Factory, database: Database) -> None:
    job = factory.running_build()
    pauses: list[float] = []

    def write_after_three(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            factory.write_lines(job, "news")
        if len(pauses) == 4:
            factory.finish(job)

    list(follow(database, job.id, pace=Pace(first_pause_s=0.5), wait=write_after_three))

    assert (pauses[2] > pauses[0], pauses[3]) == (True, 0.5)


def test_a_log_of_several_pages_is_read_without_a_pause(
    factory: Factory, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOG_PAGE", 2)
    monkeypatch.setattr(
        following,
        "get_logs",
        lambda *arguments, after, read=get_logs: read(*arguments, after=after, limit=2),
    )
    job = factory.running_build()
    factory.write_lines(job, "1", "2", "3")
    factory.finish(job)

    updates = list(follow(database, job.id, wait=lambda _pause_s: pytest.fail("it waited")))

    assert [[line.output for line in update.lines] for update in updates] == [["1", "2"], ["3"]]


def test_lines_that_are_known_are_not_yielded_again(factory: Factory, database: Database) -> None:
    job = factory.running_build()
    factory.write_lines(job, "known", "new")
    factory.finish(job)
    [whole] = follow(database, job.id)

    [rest] = follow(database, job.id, after=whole.lines[0].id)

    assert [line.output for line in rest.lines] == ["new"]


def test_the_end_is_awaited_without_the_log(factory: Factory, database: Database) -> None:
    job = factory.running_build()
    factory.write_lines(job, "unread")
    factory.finish(job)

    [update] = follow(database, job.id, after=None)

    assert (update.progress.status, list(update.lines)) == (JobStatus.SUCCEEDED, [])


def test_a_job_that_does_not_end_in_time_is_given_back_as_it_is(
    factory: Factory, database: Database
) -> None:
    job = factory.running_build()

    assert await_end(database, job.id, limit_s=0).status is JobStatus.RUNNING


def test_a_pause_is_no_longer_than_the_time_left(factory: Factory, database: Database) -> None:
    job = factory.running_build()
    pauses: list[float] = []

    def note(pause_s: float) -> None:
        pauses.append(pause_s)
        factory.finish(job)

    await_end(
        database, job.id, pace=Pace(first_pause_s=500, last_pause_s=500), limit_s=30, wait=note
    )

    assert 0 < pauses[0] <= 30


def test_a_job_that_does_not_exist_is_not_found(database: Database) -> None:
    with pytest.raises(NotFoundError):
        await_end(database, uuid.uuid4())
