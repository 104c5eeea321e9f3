"""Idle workers, many of them in one process: the work of their chores by the code of ``worker``."""

from __future__ import annotations

import queue
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from bench.place import Place
from db.enums import ProvisionerType
from db.queue import waiting_work
from db.workers import register_worker, touch_worker
from provisioner.recovery import Recoverer
from worker.metrics import Metrics
from worker.queuemetrics import QueueCollector
from worker.settings import Settings
from worker.sweeper import Sweeper

THREADS = 4
SCRAPE_S = 15  # Prometheus's usual interval

Action = Callable[[uuid.UUID], object]


@dataclass(frozen=True, kw_only=True)
class Chore:
    """One of a worker's chores, by the settings' defaults."""

    per_minute: float
    action: Action


def register(place: Place, count: int) -> list[uuid.UUID]:
    """Write the rows of ``count`` live workers that serve the untagged queue."""
    with place.database.begin() as session:
        return [
            register_worker(
                session,
                name=f"simulated-{index}",
                tags={},
                provisioners=tuple(ProvisionerType),
                concurrency=8,
                version="bench",
                hostname=f"host-{index}",
            )
            for index in range(count)
        ]


def chores(place: Place) -> Mapping[str, Chore]:
    """Return what ``worker.lifecycle`` lets a worker do beside builds, and a scrape."""
    # Not read from the environment: what is measured are the defaults.
    settings = Settings.model_validate({"data_dir": place.data_dir})
    sweeper = Sweeper(
        database=place.database,
        metrics=Metrics(CollectorRegistry()),
        # Rings go nowhere: the broker is measured with a real worker.
        ring=lambda _queue: True,
        count_messages=lambda _queue: 1_000_000,
        recoverer=Recoverer(
            database=place.database,
            work_root=Path("/nonexistent"),
            max_attempts=settings.max_attempts,
            lease=settings.lease,
            grace=timedelta(seconds=settings.interrupt_grace_seconds),
        ),
        max_attempts=settings.max_attempts,
        # Fillings of other benches are older than any limit of theirs.
        pending_limit=timedelta(days=365),
    )

    def touch(worker_id: uuid.UUID) -> None:
        with place.database.begin() as session:
            touch_worker(session, worker_id=worker_id)

    def look(worker_id: uuid.UUID) -> None:
        with place.database.begin() as session:
            waiting_work(session, worker_id=worker_id)

    return {
        "heartbeat": Chore(per_minute=60 / settings.heartbeat_seconds, action=touch),
        "sweeper": Chore(per_minute=60 / settings.sweep_seconds, action=lambda _: sweeper.sweep()),
        "doorbells": Chore(
            per_minute=60 / settings.sweep_seconds,
            action=lambda _: sweeper.ring_forgotten_queues(),
        ),
        "watchdog": Chore(per_minute=60 / (settings.watchdog_seconds / 6), action=look),
        "scrape": Chore(
            per_minute=60 / SCRAPE_S,
            # A new one each time: within two seconds they would share a reading.
            action=lambda _: list(QueueCollector(place.database).collect()),
        ),
    }


def minute(
    actions: Mapping[str, Chore], workers: Sequence[uuid.UUID]
) -> list[tuple[str, Action, uuid.UUID]]:
    """Return the turns that the workers take within a minute, in some order."""
    turns = [
        (name, chore.action, worker)
        for name, chore in actions.items()
        for worker in workers
        for _ in range(round(chore.per_minute))
    ]
    random.Random(0).shuffle(turns)
    return turns


def play(turns: Sequence[tuple[str, Action, uuid.UUID]]) -> dict[str, list[float]]:
    """Take the turns as fast as a few threads can; return how long each took, by name."""
    waiting: queue.SimpleQueue[tuple[str, Action, uuid.UUID]] = queue.SimpleQueue()
    for turn in turns:
        waiting.put(turn)
    times: dict[str, list[float]] = {name: [] for name, _, _ in turns}

    def take() -> None:
        while True:
            try:
                name, action, worker = waiting.get_nowait()
            except queue.Empty:
                return
            started = time.perf_counter()
            action(worker)
            times[name].append(time.perf_counter() - started)

    with ThreadPoolExecutor(THREADS) as pool:
        for taken in [pool.submit(take) for _ in range(THREADS)]:
            taken.result()
    return times
