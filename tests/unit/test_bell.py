"""A worker counts every doorbell that fails, and tells an outage of the broker once."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry
from redis.exceptions import ResponseError
from structlog.testing import LogCapture

from worker.metrics.series import Metrics
from worker.process import bell
from worker.process.bell import Bell

FAILURES = "provisionerd_doorbell_publish_failures_total"


class Client:
    """A client of a broker that is away until it is told otherwise."""

    error: Exception | None = OperationalError("away")

    def __init__(self) -> None:
        self.published: list[tuple[str, bool]] = []

    def publish(self, queue: str, *, passed_on: bool = False) -> None:
        if self.error:
            raise self.error
        self.published.append((queue, passed_on))

    def count(self, queue: str) -> int:
        self.publish(queue)
        return 7


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    capture = LogCapture()
    monkeypatch.setattr(bell, "log", structlog.wrap_logger(None, processors=[capture]))
    return capture


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def made(client: Client, registry: CollectorRegistry) -> Bell:
    guest: Any = client
    return Bell(guest, metrics=Metrics(registry))


def test_a_doorbell_that_is_passed_on_says_so(made: Bell, client: Client) -> None:
    client.error = None
    made.ring("builds")
    made.pass_on("builds")
    assert client.published == [("builds", False), ("builds", True)]


@pytest.mark.parametrize(
    "error", [OperationalError("away"), ResponseError("OOM command not allowed"), TimeoutError()]
)
def test_a_doorbell_that_cannot_be_rung_is_counted(
    made: Bell, client: Client, registry: CollectorRegistry, error: Exception
) -> None:
    client.error = error
    assert not made.ring("builds")
    assert registry.get_sample_value(FAILURES) == 1


def test_a_broker_that_cannot_be_asked_is_counted(made: Bell, registry: CollectorRegistry) -> None:
    with pytest.raises(OperationalError):
        made.count("builds")
    assert registry.get_sample_value(FAILURES) == 1


def test_an_outage_is_told_once_with_its_end(
    made: Bell, client: Client, logged: LogCapture
) -> None:
    made.ring("builds")
    made.ring("other")
    client.error = None
    assert made.count("builds") == 7
    assert made.ring("builds")
    told = [(entry["event"], entry.get("failures")) for entry in logged.entries]
    assert told == [("doorbell.failed", None), ("doorbell.recovered", 2)]
