"""Whether this worker reaches Redis and PostgreSQL. A scrape shows the last results of probes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from db.jobs.tags import UNTAGGED_QUEUE
from db.reads.server import ask_server
from db.streak import Streak
from worker.broker.client import BrokerClient

log = structlog.get_logger("worker")

INTERVAL_S = 5.0
PATIENCE_S = 3.0
"""An answer that takes longer than this counts as a failure."""
CONNECT_TIMEOUT = timedelta(seconds=2)


class Probe:
    """Checks whether one server answers, each time that ``check`` is called.

    Args:
        server: the server's name in the metric ``provisionerd_SERVER_up``.
        meaning: the help text of that metric.
        ask: returns after the server answered, and raises if it did not; may hang.
    """

    def __init__(
        self,
        server: str,
        meaning: str,
        ask: Callable[[], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.meaning = meaning
        self._ask = ask
        self._clock = clock
        self._failing = Streak()
        self._has_answered: bool | None = None
        self._asked_at: float | None = None

    def check(self) -> None:
        """Ask the server once."""
        self._asked_at = asked_at = self._clock()
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - any error means that there was no answer
            self._failed(str(error))
        else:
            self._came(self._clock() - asked_at)
        finally:
            self._asked_at = None

    def is_up(self) -> bool | None:
        """Return whether the server answers; None before the first check has ended."""
        asked_at = self._asked_at
        if asked_at is not None and self._clock() - asked_at > PATIENCE_S:
            return False
        return self._has_answered

    def _came(self, seconds: float) -> None:
        if seconds > PATIENCE_S:
            self._failed(f"the answer took {seconds:.1f} s")
            return
        self._has_answered = True
        if failures := self._failing.end():
            log.info("server.recovered", server=self.server, failures=failures)

    def _failed(self, error: str) -> None:
        self._has_answered = False
        if self._failing.fail():
            log.warning("server.unreachable", server=self.server, error=error)


class ServerCollector(Collector):
    """Shows the last result of each probe, without asking a server."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes

    def collect(self) -> Iterator[Metric]:
        """Return a gauge for each server: 1 if it answers, 0 if it does not."""
        for probe in self._probes:
            family = GaugeMetricFamily(f"provisionerd_{probe.server}_up", probe.meaning)
            is_up = probe.is_up()
            if is_up is not None:
                family.add_metric((), float(is_up))
            yield family


def server_probes(*, database_url: str, redis_url: str) -> Sequence[Probe]:
    """Return the probes of a worker, which use separate connections."""
    broker = BrokerClient(redis_url)
    return (
        Probe(
            "broker",
            "1 while Redis answers this worker within 3 seconds, else 0.",
            lambda: broker.count(UNTAGGED_QUEUE),
        ),
        Probe(
            "database",
            "1 while PostgreSQL opens a connection for this worker within 3 seconds, else 0.",
            partial(ask_server, database_url, timeout=CONNECT_TIMEOUT),
        ),
    )
