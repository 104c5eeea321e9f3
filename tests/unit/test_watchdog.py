"""The watchdog: it ends only a worker that could work, and does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from db.reads.queues import WaitingWork
from worker.process.watchdog import LastDoorbell, Watchdog

LIMIT_S = 60.0


@dataclass(kw_only=True)
class Scene:
    """What the watchdog sees, to be changed between its looks."""

    now: float = 1000.0
    waiting: int = 1
    held: int = 0
    last_doorbell: float = 0.0
    is_draining: bool = False
    broker_answers: bool = True
    ended: int = 0
    asked_broker: int = 0
    dog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.dog = Watchdog(
            limit=timedelta(seconds=LIMIT_S),
            slots=2,
            read_work=lambda: WaitingWork(waiting=self.waiting, held=self.held),
            last_doorbell=lambda: self.last_doorbell,
            is_draining=lambda: self.is_draining,
            broker_answers=self._ask_broker,
            end_worker=self._end_worker,
            clock=lambda: self.now,
        )

    def pass_time(self, seconds: float = LIMIT_S, *, looks: int = 6) -> None:
        """Let the time pass, with looks in between."""
        self.dog.check()
        for _ in range(looks):
            self.now += seconds / looks
            self.dog.check()

    def _ask_broker(self) -> bool:
        self.asked_broker += 1
        return self.broker_answers

    def _end_worker(self) -> None:
        self.ended += 1


def test_jobs_that_wait_while_no_doorbell_comes_make_it_end_the_worker() -> None:
    scene = Scene()

    scene.pass_time()

    assert scene.ended == 1


def test_it_ends_the_worker_once() -> None:
    scene = Scene()

    scene.pass_time()
    scene.pass_time()

    assert scene.ended == 1


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"waiting": 0}, id="nothing waits"),
        pytest.param({"held": 2}, id="every slot is taken"),
        pytest.param({"is_draining": True}, id="it drains"),
        pytest.param({"broker_answers": False}, id="the broker is away"),
    ],
)
def test_a_worker_that_could_not_work_is_left_alone(facts: dict[str, object]) -> None:
    scene = Scene(**facts)  # type: ignore[arg-type]

    scene.pass_time(10 * LIMIT_S)

    assert scene.ended == 0


def test_a_stall_is_counted_from_the_moment_a_slot_became_free() -> None:
    scene = Scene(held=2)
    scene.pass_time(10 * LIMIT_S)
    scene.held = 1

    scene.pass_time(LIMIT_S - 1)

    assert scene.ended == 0


def test_a_doorbell_shows_that_the_consumer_lives() -> None:
    scene = Scene()
    scene.pass_time(LIMIT_S - 1)
    scene.last_doorbell = scene.now

    scene.pass_time(LIMIT_S - 1)

    assert scene.ended == 0


def test_a_short_relief_begins_the_count_anew() -> None:
    scene = Scene()
    scene.pass_time(LIMIT_S - 1)
    scene.waiting = 0
    scene.dog.check()
    scene.waiting = 1

    scene.pass_time(LIMIT_S - 1)

    assert scene.ended == 0


def test_the_broker_is_not_asked_while_all_is_well() -> None:
    scene = Scene(waiting=0)

    scene.pass_time()

    assert scene.asked_broker == 0


def test_the_last_doorbell_is_recorded() -> None:
    doorbell = LastDoorbell()
    assert doorbell.at == 0.0

    doorbell.record()

    assert doorbell.at > 0.0
