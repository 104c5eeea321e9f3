"""What the queues look like, from SQL: the database knows, the broker does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database
from db.queue import QueueDepth, queue_depths
from db.tags import UNTAGGED_QUEUE

log = structlog.get_logger("worker")

CACHE_S = 2.0
"""Scrapes that come faster than this share one query."""


class QueueCollector(Collector):
    """Reads depth and age of the queues at each scrape."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._depths: Sequence[QueueDepth] = ()

    def describe(self) -> Iterator[Metric]:
        """Name the series without asking the database."""
        return iter(_families(()))

    def collect(self) -> Iterator[Metric]:
        """Return the series; the ones of the last good reading when the database is away."""
        with self._lock:
            if time.monotonic() - self._read_at > CACHE_S:
                self._read()
        return iter(_families(self._depths))

    def _read(self) -> None:
        try:
            with self._database.begin() as session:
                self._depths = queue_depths(session)
        except SQLAlchemyError as error:
            log.warning("metrics.queues_unread", error=str(error))
        self._read_at = time.monotonic()


def _families(depths: Sequence[QueueDepth]) -> list[Metric]:
    depth = GaugeMetricFamily(
        "provisionerd_queue_depth", "Jobs that wait in the queue.", labels=("queue",)
    )
    oldest = GaugeMetricFamily(
        "provisionerd_queue_oldest_seconds",
        "Age of the oldest job that waits in the queue.",
        labels=("queue",),
    )
    workers = GaugeMetricFamily(
        "provisionerd_workers", "Live workers that serve the queue.", labels=("queue",)
    )
    slots = GaugeMetricFamily(
        "provisionerd_slots", "Builds that these workers run at once.", labels=("queue",)
    )
    shown = {entry.queue: entry for entry in depths}
    shown.setdefault(
        UNTAGGED_QUEUE,
        QueueDepth(queue=UNTAGGED_QUEUE, depth=0, oldest_s=0, workers=0, slots=0),
    )
    for queue, entry in sorted(shown.items()):
        depth.add_metric((queue,), entry.depth)
        oldest.add_metric((queue,), entry.oldest_s)
        workers.add_metric((queue,), entry.workers)
        slots.add_metric((queue,), entry.slots)
    return [depth, oldest, workers, slots]
