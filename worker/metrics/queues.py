"""Metrics of queues and workers, read by SQL: the broker does not have these figures.

Each worker serves the series of queues, counting up to ``COUNT_TO`` jobs in each, so that a
deployment with one worker needs no exporter. ``provisionerd exporter`` serves them without that
limit, and also the series of the whole deployment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from db.engine import Database
from db.jobs.tags import UNTAGGED_QUEUE
from db.reads.fleet import Fleet, read_fleet
from db.reads.queues import QueueDepth, queue_depths
from db.texts import tags_text
from worker.metrics.cached import Cached

COUNT_TO = 1_000
"""Number of jobs that a worker counts in a queue, so that many workers do not count many jobs.

The exporter counts all jobs; alerts and dashboards use the highest value.
"""


class QueueCollector(Collector):
    """Reads depth and age of the queues on each scrape.

    Args:
        count_to: as in ``queue_depths``.
    """

    def __init__(self, database: Database, *, count_to: int | None = None) -> None:
        def read(session: Session) -> Sequence[QueueDepth]:
            return queue_depths(session, count_to=count_to)

        self._cached = Cached[Sequence[QueueDepth]](database, read, ())

    def describe(self) -> Iterator[Metric]:
        """Name the series without asking the database."""
        return iter(_queue_families(()))

    def collect(self) -> Iterator[Metric]:
        """Return the series; the ones of the last good reading when the database is away."""
        return iter(_queue_families(self._cached.get()))


class FleetCollector(Collector):
    """Reads workers, slots, leases and unfinished jobs of the deployment on each scrape.

    Args:
        lease_s: how long a lease lasts unless it is renewed; the age of a lease is derived from it.
    """

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._cached = Cached[Fleet | None](database, read_fleet, None)
        self._lease_s = lease_s

    def describe(self) -> Iterator[Metric]:
        """Name the series without asking the database."""
        return iter(_fleet_families(None, self._lease_s))

    def collect(self) -> Iterator[Metric]:
        """Return the series; the ones of the last good reading when the database is away."""
        return iter(_fleet_families(self._cached.get(), self._lease_s))


def _queue_families(depths: Sequence[QueueDepth]) -> list[Metric]:
    depth = GaugeMetricFamily(
        "provisionerd_queue_depth",
        "Pending jobs of the queue; a worker counts up to 1,000.",
        labels=("queue",),
    )
    oldest = GaugeMetricFamily(
        "provisionerd_queue_oldest_seconds",
        "Age of the oldest pending job of the queue; a worker reads only the jobs that it counts.",
        labels=("queue",),
    )
    workers = GaugeMetricFamily(
        "provisionerd_workers", "Live workers that serve the queue.", labels=("queue",)
    )
    slots = GaugeMetricFamily(
        "provisionerd_slots", "Slots of the live workers that serve the queue.", labels=("queue",)
    )
    info = GaugeMetricFamily(
        "provisionerd_queue_info", "1; the tags of the queue's jobs.", labels=("queue", "tags")
    )
    paused = GaugeMetricFamily(
        "provisionerd_queue_paused", "1 if an operator has paused the queue.", labels=("queue",)
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
        info.add_metric((queue, tags_text(entry.tags)), 1)
        paused.add_metric((queue,), entry.paused_at is not None)
    return [depth, oldest, workers, slots, info, paused]


def _fleet_families(fleet: Fleet | None, lease_s: float) -> list[Metric]:
    workers = GaugeMetricFamily(
        "provisionerd_workers_status",
        "Workers by status; a worker that was not seen for 90 seconds is offline.",
        labels=("status",),
    )
    jobs = GaugeMetricFamily("provisionerd_jobs", "Unfinished jobs by status.", labels=("status",))
    slots = GaugeMetricFamily(
        "provisionerd_slots_live", "Builds that all live workers can run at once."
    )
    used = GaugeMetricFamily("provisionerd_slots_used", "Slots in use: builds that run now.")
    free = GaugeMetricFamily("provisionerd_slots_free", "Free slots of live workers.")
    age = GaugeMetricFamily(
        "provisionerd_lease_age_seconds", "Time since the oldest lease was renewed."
    )
    if fleet is not None:
        for status, count in fleet.workers.items():
            workers.add_metric((status,), count)
        for status, count in fleet.jobs.items():
            jobs.add_metric((status,), count)
        slots.add_metric((), fleet.slots)
        used.add_metric((), fleet.slots_used)
        free.add_metric((), fleet.slots_free)
        age.add_metric((), 0 if fleet.least_lease_s is None else lease_s - fleet.least_lease_s)
    return [workers, jobs, slots, used, free, age]
