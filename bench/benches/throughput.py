"""Complete echo builds per second, against no-op tasks of bare Celery."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Sequence

from sqlalchemy import text

from bench.measure import Result, pair
from bench.services import BENCH_DEADLINE_S, Services
from db.catalog.builds import insert_build
from db.catalog.workspaces import create_workspace
from db.schema.enums import Transition
from tests.harness.databases import autocommit
from tests.harness.waiting import wait_until
from worker.broker.doorbell import ring_at

BUILDS = 400
SLOTS = 8
SCRIPT = {
    "plan": {"daily_cost": 1, "logs": [{"output": "planned"}]},
    "apply": {
        "logs": [{"output": "made"}],
        "resources": [{"type": "echo_disk", "name": "home", "daily_cost": 1}],
    },
}


def run(services: Services, rounds: int = 5) -> list[Result]:
    workspaces = make_workspaces(services, BUILDS)
    return [_compare(services, workspaces, pool, rounds) for pool in ("threads", "prefork")]


def _compare(services: Services, workspaces: Sequence[uuid.UUID], pool: str, rounds: int) -> Result:
    transitions = itertools.cycle((Transition.START, Transition.STOP))

    def builds() -> float:
        return run_builds(services, workspaces, next(transitions))

    with (
        services.worker(concurrency=SLOTS, pool=pool),
        services.celery("bench.noop", concurrency=SLOTS, pool=pool),
    ):
        from bench.noop import noop  # imported late: it reads the broker's URL

        def tasks() -> float:
            started = time.perf_counter()
            for _ in range(BUILDS):
                noop.delay(BUILDS)
            assert services.redis.blpop(["noop.done"], timeout=120)
            return BUILDS / (time.perf_counter() - started)

        for _ in range(2):  # so that every child of prefork has its connections
            builds(), tasks()
        rates = pair(builds, tasks, rounds=rounds)
    wrong = failed(services)
    return rates.result(
        "throughput",
        f"echo builds against no-op Celery tasks, {SLOTS} slots, {pool}",
        unit="1/s",
        note=f"{wrong} builds failed" if wrong else "",
    )


def make_workspaces(services: Services, count: int) -> list[uuid.UUID]:
    """Make workspaces whose builds cost credits, ten for each owner, in one organization."""
    factory = services.factory
    organization = factory.organization(everyone_allowance=10_000)
    owners = [factory.user(organization=organization) for _ in range(-(-count // 10))]
    template = factory.template(organization=organization, created_by=owners[0], script=SCRIPT)
    with services.database.begin() as session:
        return [
            create_workspace(
                session, owner=owners[index // 10], template=template, name=f"w{index}"
            ).id
            for index in range(count)
        ]


def run_builds(
    services: Services, workspaces: Sequence[uuid.UUID], transition: Transition
) -> float:
    """Enqueue a build of each workspace and ring for it; return the builds finished per second."""
    ring = ring_at(services.redis_url)
    with services.database.begin() as session:
        queued = [
            insert_build(session, workspace_id=workspace, transition=transition)
            for workspace in workspaces
        ]
    started = time.perf_counter()
    for build in queued:
        ring(build.queue)
    wait_for_all_builds(services)
    return len(queued) / (time.perf_counter() - started)


def wait_for_all_builds(services: Services, *, tick_s: float = 0.02) -> None:
    """Return when no job is unfinished."""
    wait_until(
        lambda: not is_busy(services),
        "the ends of all builds",
        within_s=BENCH_DEADLINE_S,
        tick_s=tick_s,
    )


def is_busy(services: Services) -> bool:
    # It does not count them: a count takes 5 % of the core that PostgreSQL has.
    query = text("SELECT EXISTS (SELECT FROM provisioner_jobs WHERE completed_at IS NULL)")
    with autocommit(services.database) as connection:
        return bool(connection.execute(query).scalar_one())


def failed(services: Services) -> int:
    query = text("SELECT count(*) FROM provisioner_jobs WHERE error IS NOT NULL")
    with services.database.begin() as session:
        return int(session.execute(query).scalar_one())
