"""Simulate many idle workers in one process: it runs their chores with the code of ``worker``."""

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

from bench import server
from bench.measure import Result, quantile
from bench.rows import analyze, fill_jobs
from bench.services import Services
from db.jobs.mover import Mover
from db.jobs.tags import served_queues
from db.jobs.workers import register_worker, touch_worker
from db.reads.logs import get_logs
from db.reads.progress import job_progress
from db.reads.queues import waiting_work
from db.schema.enums import ProvisionerType
from provisioner.host.recovery import Recoverer
from worker.maintenance.sweeper import Sweeper
from worker.metrics.queues import COUNT_TO, QueueCollector
from worker.metrics.series import Metrics
from worker.settings import Settings

THREADS = 4
SLOTS = 8  # of a worker
FLEET = 1_000  # workers whose chores of a minute are run
FEW, MANY = 10, 1_000  # workers, to see which costs grow with their number
WAITING = 10_000  # jobs, to see which costs grow with their number
TURNS = 2_000  # of each chore
MINUTE_S = 60.0
SCRAPE_S = 15  # Prometheus's usual interval

Action = Callable[[uuid.UUID], object]


@dataclass(frozen=True, kw_only=True)
class Chore:
    """One of a worker's chores, with the default settings."""

    per_minute: float
    action: Action


def measure(
    services: Services, *, watched: Sequence[uuid.UUID]
) -> tuple[dict[str, float], list[Result]]:
    """Return the costs of an idle worker and their growth, and other results.

    It leaves many pending jobs behind.

    Args:
        watched: jobs of builds that a person watches.
    """
    few = _spent_by_chore(services, FEW)
    minute = _minute_of_fleet(services)
    many = _spent_by_chore(services, MANY)
    looks = _looks(services, watched)
    _let_wait(services)
    waiting = _spent_by_chore(services, MANY)
    (few_ms, _), (many_ms, wal_kb), (waiting_ms, _) = (
        _cost_of_minute(services, spent) for spent in (few, many, waiting)
    )
    costs = {
        **looks,
        "idle_ms": few_ms,
        "idle_growth_ms": max(0.0, many_ms - few_ms) * 1000 / (MANY - FEW),
        "idle_backlog_ms": max(0.0, waiting_ms - many_ms) * 1000 / WAITING,
        "idle_wal_kb": wal_kb,
    }
    return costs, [
        *minute,
        _look_for_forgotten(f"{FEW} workers", few),
        _look_for_forgotten(f"{MANY:,} workers", many),
        _look_for_forgotten(f"{MANY:,} workers, {WAITING:,} jobs wait", waiting),
    ]


def _minute_of_fleet(services: Services) -> list[Result]:
    """Run the chores that 1,000 idle workers have in a minute, as fast as possible."""
    turns = _turns_of_minute(_make_chores(services), _registered(services, FLEET))
    before = server.read_usage(services)
    started = time.perf_counter()
    times = _run_chores(turns)
    took = time.perf_counter() - started
    spent = (server.read_usage(services) - before).processor_s
    return [
        Result(
            bench="scale",
            what=f"{FLEET:,} idle workers: PostgreSQL",
            unit="% of a core",
            ours=spent / MINUTE_S * 100,
            reach="<= 20",
        ),
        Result(
            bench="scale",
            what=f"{FLEET:,} idle workers: their {len(turns):,} turns of a minute, played in",
            unit="s",
            ours=took,
        ),
        *(
            Result(
                bench="scale",
                what=f"{FLEET:,} idle workers: {name}, {title}",
                unit="ms",
                ours=quantile(each, share) * 1000,
            )
            for name, each in times.items()
            for title, share in (("p50", 0.5), ("p99", 0.99))
        ),
    ]


def _spent_by_chore(services: Services, count: int) -> dict[str, server.Usage]:
    """Return the cost of many turns of each chore while there are ``count`` workers."""
    workers = _registered(services, count)
    spent = {}
    for name, chore in _make_chores(services).items():
        turns = [(name, chore.action, workers[index % count]) for index in range(TURNS)]
        before = server.read_usage(services)
        _run_chores(turns)
        spent[name] = server.read_usage(services) - before
    return spent


def _cost_of_minute(services: Services, spent: Mapping[str, server.Usage]) -> tuple[float, float]:
    """Return the cost of a minute of one worker: milliseconds, and kB of WAL."""
    actions = _make_chores(services)
    return (
        sum(spent[name].processor_s * 1000 / TURNS * actions[name].per_minute for name in actions),
        sum(spent[name].wal_bytes / 1000 / TURNS * actions[name].per_minute for name in actions),
    )


def _registered(services: Services, count: int) -> list[uuid.UUID]:
    workers = _register(services, count)
    analyze(services)
    return workers


def _looks(services: Services, watched: Sequence[uuid.UUID]) -> dict[str, float]:
    """Poll builds without new lines, as their watchers do, while there are many workers."""

    def poll(job_id: uuid.UUID) -> None:
        with services.database.begin() as session:
            job_progress(session, job_id)
            get_logs(session, job_id, after=2**62)

    before = server.read_usage(services)
    _run_chores([("poll", poll, watched[index % len(watched)]) for index in range(TURNS)])
    return {"look_ms": (server.read_usage(services) - before).processor_s * 1000 / TURNS}


def _look_for_forgotten(what: str, spent: Mapping[str, server.Usage]) -> Result:
    return Result(
        bench="scale",
        what=f"look for jobs to ring for, {what}",
        unit="ms",
        ours=spent["doorbells"].processor_s * 1000 / TURNS,
    )


def _let_wait(services: Services) -> None:
    organization = services.factory.organization()
    owner = services.factory.user(organization=organization)
    template = services.factory.template(organization=organization, created_by=owner)
    fill_jobs(services, WAITING, owner=owner, template=template, pending=True)


def _register(services: Services, count: int) -> list[uuid.UUID]:
    """Write the rows of ``count`` live workers that serve the untagged queue."""
    with services.database.begin() as session:
        return [
            register_worker(
                session,
                name=f"simulated-{index}",
                tags={},
                provisioners=tuple(ProvisionerType),
                concurrency=SLOTS,
                version="bench",
                hostname=f"host-{index}",
            )
            for index in range(count)
        ]


def _make_chores(services: Services) -> Mapping[str, Chore]:
    """Return the chores that ``worker.process.lifecycle`` starts in a worker, and a scrape."""
    # Not read from the environment: the defaults are measured.
    settings = Settings.model_validate({"data_dir": services.data_dir})
    mover = Mover(database=services.database)
    sweeper = Sweeper(
        mover=mover,
        metrics=Metrics(CollectorRegistry()),
        queues=served_queues({}),
        provisioners=tuple(ProvisionerType),
        slots=SLOTS,
        # No doorbell is published: the broker is measured with a real worker.
        ring=lambda _queue: True,
        count_messages=lambda _queue: 1_000_000,
        recoverer=Recoverer(
            mover=mover,
            work_root=Path("/nonexistent"),
            max_attempts=settings.max_attempts,
            lease=settings.lease,
            grace=timedelta(seconds=settings.interrupt_grace_seconds),
        ),
        max_attempts=settings.max_attempts,
        # The rows that other benches make are older than any usual limit.
        pending_limit=timedelta(days=365),
    )

    def touch(worker_id: uuid.UUID) -> None:
        with services.database.begin() as session:
            touch_worker(session, worker_id=worker_id)

    def watch(worker_id: uuid.UUID) -> None:
        with services.database.begin() as session:
            waiting_work(session, worker_id=worker_id)

    return {
        "heartbeat": Chore(per_minute=60 / settings.heartbeat_seconds, action=touch),
        "sweeper": Chore(per_minute=60 / settings.sweep_seconds, action=lambda _: sweeper.sweep()),
        "doorbells": Chore(
            per_minute=60 / settings.sweep_seconds,
            action=lambda _: sweeper.ring_forgotten_queues(),
        ),
        "watchdog": Chore(per_minute=60 / (settings.watchdog_seconds / 6), action=watch),
        "scrape": Chore(
            per_minute=60 / SCRAPE_S,
            # A new collector each time: one collector reuses a reading for two seconds.
            action=lambda _: list(QueueCollector(services.database, count_to=COUNT_TO).collect()),
        ),
    }


def _turns_of_minute(
    actions: Mapping[str, Chore], workers: Sequence[uuid.UUID]
) -> list[tuple[str, Action, uuid.UUID]]:
    """Return the turns that the workers take in a minute, in random order."""
    turns = [
        (name, chore.action, worker)
        for name, chore in actions.items()
        for worker in workers
        for _ in range(round(chore.per_minute))
    ]
    random.Random(0).shuffle(turns)
    return turns


def _run_chores(turns: Sequence[tuple[str, Action, uuid.UUID]]) -> dict[str, list[float]]:
    """Run the turns as fast as a few threads can; return how long each took, by chore."""
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
