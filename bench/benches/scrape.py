"""Scrapes of the metrics that come from SQL, at a million finished jobs against a thousand."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from bench.measure import Result, growth, quantile
from bench.rows import analyze, fill_jobs
from bench.services import Services
from worker.metrics.queues import COUNT_TO, FleetCollector, QueueCollector

SIZES = (1_000, 1_000_000)
PENDING = 200
SCRAPES = 200  # a round


def run(services: Services, rounds: int = 3) -> list[Result]:
    factory = services.factory
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner)
    collectors: dict[str, Callable[[], CollectorRegistry]] = {
        "a worker's queues": lambda: _registry(services, fleet=False),
        "the exporter": lambda: _registry(services, fleet=True),
    }
    times: dict[str, list[float]] = {name: [] for name in collectors}
    fill_jobs(services, PENDING, owner=owner, template=template, pending=True)
    have = 0
    for size in SIZES:
        fill_jobs(services, size - have, owner=owner, template=template, pending=False)
        have = size
        analyze(services)
        for name, registry in collectors.items():
            # The best of the rounds: a checkpoint after a million new rows must not be measured.
            times[name].append(min(_median(registry) for _ in range(rounds)))
    return [
        growth(
            "scrape",
            f"{name}, at 1M finished jobs against 1k, {PENDING} waiting",
            few_s=few,
            many_s=many,
            rounds=rounds * SCRAPES,
        )
        for name, (few, many) in times.items()
    ]


def _registry(services: Services, *, fleet: bool) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(QueueCollector(services.database, count_to=None if fleet else COUNT_TO))
    if fleet:
        registry.register(FleetCollector(services.database, lease_s=20))
    return registry


def _median(registry: Callable[[], CollectorRegistry]) -> float:
    times = []
    for _ in range(SCRAPES):
        fresh = registry()  # scrapes of one registry within two seconds share a reading
        started = time.perf_counter()
        generate_latest(fresh)
        times.append(time.perf_counter() - started)
    return quantile(times, 0.5)
