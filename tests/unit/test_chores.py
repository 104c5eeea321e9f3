"""A chore goes on whatever its action does, until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import structlog
from structlog.testing import LogCapture

from worker.maintenance import chores
from worker.maintenance.chores import Chore

DEADLINE_S = 30


class FailingOnce:
    """An action that fails at its first turn."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.came_again = threading.Event()

    def __call__(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error
        self.came_again.set()


@contextmanager
def started(chore: Chore) -> Iterator[None]:
    chore.start()
    yield
    chore.stop()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("a bug"), id="bug"),
        pytest.param(psycopg.OperationalError("the server is away"), id="outage"),
    ],
)
def test_a_chore_has_its_next_turn_after_one_that_failed(error: Exception) -> None:
    action = FailingOnce(error)
    with started(Chore("test", 0.001, action)):
        assert action.came_again.wait(DEADLINE_S)


def test_a_chore_that_fails_again_and_again_is_told_once_with_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    capture = LogCapture()
    monkeypatch.setattr(chores, "log", structlog.wrap_logger(None, processors=[capture]))
    turns = iter([True, True, True, False, False])
    ended = threading.Event()

    def act() -> None:
        fails = next(turns, None)
        if fails:
            raise ValueError("a bug")
        if fails is None:
            ended.set()

    with started(Chore("test", 0.001, act)):
        assert ended.wait(DEADLINE_S)
    told = [(entry["event"], entry.get("failures")) for entry in capture.entries]
    assert told == [("chore.failed", None), ("chore.recovered", 3)]


def test_a_chore_that_is_stopped_takes_no_further_turn() -> None:
    turns: list[None] = []
    first = threading.Event()

    def take() -> None:
        turns.append(None)
        first.set()

    with started(Chore("test", 3600, take)):
        assert first.wait(DEADLINE_S)
    assert len(turns) == 1
