"""Whether a server answers is known without asking it, even while it hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from tests.harness.clock import Clock
from tests.harness.silence import SilentServer
from tests.harness.waiting import wait_until
from worker.metrics.servers import PATIENCE_S, Probe, ServerCollector, server_probes

NOBODY_REDIS, NOBODY_POSTGRES = "redis://127.0.0.1:1/0", "postgresql://127.0.0.1:1/none"
DEADLINE_S = 20


class Server:
    """Answers, refuses or hangs."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def ask(self) -> None:
        self.asked.set()
        assert self.may_answer.wait(DEADLINE_S)
        if self.error:
            raise self.error


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


def shown(*probes: Probe) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(ServerCollector(probes))
    return {sample.name: sample.value for family in registry.collect() for sample in family.samples}


def test_nothing_is_shown_of_a_server_that_nobody_has_asked() -> None:
    assert shown(Probe("broker", "help", Server().ask)) == {}


def test_a_server_that_answers_is_up() -> None:
    probe = Probe("broker", "help", Server().ask)
    probe.check()
    assert shown(probe) == {"provisionerd_broker_up": 1}


def test_a_server_that_refuses_is_down_until_it_answers_again() -> None:
    server = Server()
    probe = Probe("broker", "help", server.ask)
    seen = []
    for server.error in (None, ConnectionRefusedError(), None):
        probe.check()
        seen.append(probe.is_up())
    assert seen == [True, False, True]


def test_a_server_that_hangs_is_down_after_the_patience_and_not_before() -> None:
    server, clock = Server(), Clock()
    probe = Probe("broker", "help", server.ask, clock=clock)
    probe.check()
    server.asked.clear()
    server.may_answer.clear()
    asking = threading.Thread(target=probe.check)
    asking.start()
    assert server.asked.wait(DEADLINE_S)
    clock.now += PATIENCE_S
    seen = [probe.is_up()]
    clock.now += 0.1
    seen.append(probe.is_up())
    server.may_answer.set()
    asking.join(DEADLINE_S)
    assert seen == [True, False]


def test_an_answer_that_comes_too_late_counts_as_none() -> None:
    clock = Clock()

    def ask() -> None:
        clock.now += PATIENCE_S + 1

    probe = Probe("broker", "help", ask, clock=clock)
    probe.check()
    assert probe.is_up() is False


@pytest.mark.parametrize("which", [0, 1], ids=["Redis", "PostgreSQL"])
def test_servers_that_are_not_there_are_down(which: int) -> None:
    probe = server_probes(database_url=NOBODY_POSTGRES, redis_url=NOBODY_REDIS)[which]
    probe.check()
    assert probe.is_up() is False


@pytest.mark.parametrize("which", [0, 1], ids=["Redis", "PostgreSQL"])
def test_a_check_of_a_server_that_never_answers_ends(silent: SilentServer, which: int) -> None:
    postgres = silent.redis_url.replace("redis://", "postgresql://")
    probe = server_probes(database_url=postgres, redis_url=silent.redis_url)[which]
    asking = threading.Thread(target=probe.check, daemon=True)
    asking.start()
    wait_until(lambda: probe.is_up() is False, "the verdict")
    asking.join(DEADLINE_S)
    assert not asking.is_alive()
