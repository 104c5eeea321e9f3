"""The watchdog: barks only at a worker that could work, and does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from db.reads.queues import WaitingWork
from worker.process.watchdog import Pulse, Watchdog

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
    barks: int = 0
    asked_broker: int = 0
    dog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.dog = Watchdog(
            limit=timedelta(seconds=LIMIT_S),
            slots=2,
            look=lambda: WaitingWork(waiting=self.waiting, held=self.held),
            last_doorbell=lambda: self.last_doorbell,
            is_draining=lambda: self.is_draining,
            broker_answers=self._ask_broker,
            bark=self._bark,
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

    def _bark(self) -> None:
        self.barks += 1


def test_jobs_that_wait_while_no_doorbell_comes_make_it_bark() -> None:
    scene = Scene()

    scene.pass_time()

    assert scene.barks == 1


def test_it_barks_once() -> None:
    scene = Scene()

    scene.pass_time()
    scene.pass_time()

    assert scene.barks == 1


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

    assert scene.barks == 0


def test_a_stall_is_counted_from_the_moment_a_slot_became_free() -> None:
    scene = Scene(held=2)
    scene.pass_time(10 * LIMIT_S)
    scene.held = 1

    scene.pass_time(LIMIT_S - 1)

    assert scene.barks == 0


def test_a_doorbell_shows_that_the_consumer_lives() -> None:
    scene = Scene()
    scene.pass_time(LIMIT_S - 1)
    scene.last_doorbell = scene.now

    scene.pass_time(LIMIT_S - 1)

    assert scene.barks == 0


def test_a_short_relief_begins_the_count_anew() -> None:
    scene = Scene()
    scene.pass_time(LIMIT_S - 1)
    scene.waiting = 0
    scene.dog.check()
    scene.waiting = 1

    scene.pass_time(LIMIT_S - 1)

    assert scene.barks == 0


def test_the_broker_is_not_asked_while_all_is_well() -> None:
    scene = Scene(waiting=0)

    scene.pass_time()

    assert scene.asked_broker == 0


def test_a_pulse_tells_when_it_last_beat() -> None:
    pulse = Pulse()
    assert pulse.last == 0.0

    pulse.beat()

    assert pulse.last > 0.0
