"""Two thousand clients that follow running builds through one API process."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psutil

from api.streams.hub import Hub
from bench.measure import Result, quantile
from bench.server import read_usage
from bench.services import Services
from db.jobs.transitions import ClaimedJob
from tests.harness.waiting import wait_until

FOLLOWERS = 2_000
JOBS = 100
PAUSE_S = 0.25  #: a worker writes a build's lines four times a second at most


def run(services: Services, rounds: int = 40) -> list[Result]:
    workspaces = [services.factory.any_workspace() for _ in range(JOBS)]
    jobs = [services.factory.running_build(workspace) for workspace in workspaces]
    return asyncio.run(_follow(services, jobs, rounds))


async def _follow(services: Services, jobs: Sequence[ClaimedJob], rounds: int) -> list[Result]:
    process = psutil.Process()
    before = process.memory_info().rss
    async with _hub(services) as hub:
        written: dict[str, float] = {}
        delays: list[float] = []
        tasks = [
            asyncio.create_task(_listen(hub, jobs[index % JOBS].id, written, delays))
            for index in range(FOLLOWERS)
        ]
        await asyncio.to_thread(wait_until, lambda: hub.followers == FOLLOWERS, "all followers")
        grown = process.memory_info().rss - before
        usage, queries = read_usage(services), hub.queries
        for number in range(rounds):
            line = f"line {number}"
            written[line] = time.perf_counter()
            await asyncio.to_thread(_write, services, jobs[number % JOBS], line)
            await asyncio.sleep(PAUSE_S)
        expected = rounds * FOLLOWERS // JOBS
        await asyncio.to_thread(wait_until, lambda: len(delays) >= expected, "every line")
        spent, queries = read_usage(services) - usage, hub.queries - queries
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert len(delays) == expected, "every follower got every line once"
    what = f"{FOLLOWERS:,} followers of {JOBS} builds"
    return [
        _row(f"{what}: from before the write of a line to a follower, {name}", "ms", delay * 1000)
        for name, delay in (("p50", quantile(delays, 0.5)), ("p99", quantile(delays, 0.99)))
    ] + [
        _row(f"{what}: reads of the database for each write of lines", "", queries / rounds),
        _row(
            f"{what}: PostgreSQL, write included",
            "ms for each write",
            spent.processor_s * 1000 / rounds,
        ),
        _row(f"{what}: memory of each", "kB", grown / FOLLOWERS / 1000),
    ]


@asynccontextmanager
async def _hub(services: Services) -> AsyncIterator[Hub]:
    hub = Hub(services.database)
    hub.start()
    try:
        await asyncio.to_thread(wait_until, lambda: hub.is_pushed, "the first notice")
        yield hub
    finally:
        hub.close()
        await hub.join()


async def _listen(
    hub: Hub, job_id: uuid.UUID, written: dict[str, float], delays: list[float]
) -> None:
    async for lines in hub.follow(job_id):
        now = time.perf_counter()
        # A log begins with an empty line.
        texts = (json.loads(line.json)["output"] for line in lines)
        delays.extend(now - written[text] for text in texts if text)


def _write(services: Services, job: ClaimedJob, line: str) -> None:
    services.factory.write_lines(job, line)


def _row(what: str, unit: str, ours: float) -> Result:
    return Result(bench="followers", what=what, unit=unit, ours=ours)
