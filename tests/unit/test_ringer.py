"""The thread that rings doorbells: bounded, and quiet while the broker is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.clock import Clock
from tests.harness.silence import SilentServer, silent_broker
from tests.harness.waiting import wait_until
from worker.broker import client, ringer
from worker.broker.address import find_redis_url
from worker.broker.ringer import BACKOFF_S, BrokerConnection, Ringer

NOBODY_LISTENS = "redis://127.0.0.1:1/0"
DEADLINE_S = 20.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentServer]:
    with silent_broker(monkeypatch) as server:
        yield server


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The attempts to reach a broker that is away."""
    made: list[str] = []

    def publish(_self: object, queue: str) -> None:
        made.append(queue)
        raise ConnectionRefusedError

    monkeypatch.setattr(client.BrokerClient, "publish", publish)
    return made


def test_a_broker_that_failed_is_not_tried_again_at_once(clock: Clock, attempts: list[str]) -> None:
    connection = BrokerConnection(NOBODY_LISTENS, clock=clock)
    connection.ring("first")
    clock.now += BACKOFF_S - 0.1
    connection.ring("second")
    assert attempts == ["first"]


def test_a_broker_is_tried_again_after_the_pause(clock: Clock, attempts: list[str]) -> None:
    connection = BrokerConnection(NOBODY_LISTENS, clock=clock)
    connection.ring("first")
    clock.now += BACKOFF_S
    connection.ring("second")
    assert attempts == ["first", "second"]


def test_an_outage_is_told_once(
    clock: Clock, attempts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    connection = BrokerConnection(NOBODY_LISTENS, clock=clock)
    with caplog.at_level(logging.WARNING, logger="worker"):
        for _ in range(3):
            connection.ring("builds")
            clock.now += BACKOFF_S
    assert len(attempts) == 3
    assert len(caplog.records) == 1


def test_no_broker_at_all_is_told_with_who_finds_the_build(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("PROVISIONERD_REDIS_URL", raising=False)
    monkeypatch.setenv("PROVISIONERD_DATA_DIR", str(tmp_path))
    with caplog.at_level(logging.WARNING, logger="worker"):
        assert BrokerConnection(None, clock=clock).ring("builds") is False
    assert "sweeper" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_doorbell_is_taken_although_the_broker_does_not_answer(silent: SilentServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(Ringer().ring, "builds", silent.redis_url).result(DEADLINE_S)
    assert taken


def test_doorbells_beyond_the_bound_are_dropped(
    silent: SilentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ringer, "CAPACITY", 2)
    hung = Ringer()
    hung.ring("builds", silent.redis_url)
    wait_until(lambda: silent.connections, "the thread to be held up")
    assert [hung.ring("builds", silent.redis_url) for _ in range(3)] == [True, True, False]


def test_a_flush_ends_although_the_broker_does_not_answer(silent: SilentServer) -> None:
    hung = Ringer()
    hung.ring("builds", silent.redis_url)
    begun = time.monotonic()
    assert hung.flush(0.05) is False
    assert time.monotonic() - begun < DEADLINE_S


def test_a_flush_waits_until_all_were_tried(attempts: list[str]) -> None:
    busy = Ringer()
    busy.ring("builds", NOBODY_LISTENS)
    assert busy.flush(DEADLINE_S)
    assert attempts == ["builds"]


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        pytest.param({"PROVISIONERD_REDIS_URL": "redis://r/1"}, "redis://r/1", id="configured"),
        pytest.param({"PROVISIONERD_DATA_DIR": "/nonexistent"}, None, id="nothing runs"),
        pytest.param(
            {"PROVISIONERD_DATA_DIR": "/nonexistent", "PROVISIONERD_REDIS_URL": ""},
            None,
            id="configured as empty",
        ),
    ],
)
def test_the_broker_is_found_by_two_variables(
    environment: dict[str, str], found: str | None
) -> None:
    assert find_redis_url(environment) == found


def test_the_return_of_the_broker_is_told_with_how_often_it_was_away(
    clock: Clock, attempts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    line = BrokerConnection(NOBODY_LISTENS, clock=clock)
    with caplog.at_level(logging.INFO, logger="worker"), pytest.MonkeyPatch.context() as healed:
        for _ in range(2):
            line.ring("builds")
            clock.now += BACKOFF_S
        healed.setattr(client.BrokerClient, "publish", lambda _self, _queue: None)
        line.ring("builds")
        line.ring("builds")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "2 failures" in caplog.records[-1].getMessage()
