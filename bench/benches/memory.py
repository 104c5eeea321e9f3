"""The memory of an idle worker, of a running build, and after two thousand builds."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Sequence

import psutil

from bench.benches.throughput import SCRIPT, wait_for_all_builds
from bench.measure import Result
from bench.services import Services
from db.catalog.builds import insert_build
from db.catalog.workspaces import create_workspace
from db.schema.enums import Transition
from tests.harness.waiting import wait_until
from worker.broker.doorbell import ring_at

BUILDS = 2_000
AT_ONCE = 100
MB = 1e6


def run(services: Services, rounds: int = 1) -> list[Result]:
    ring = ring_at(services.redis_url)
    workspaces, blocked = _workspaces(services)

    def enqueue(ids: Sequence[uuid.UUID], transition: Transition) -> None:
        with services.database.begin() as session:
            queued = [insert_build(session, workspace_id=i, transition=transition) for i in ids]
        for build in queued:
            ring(build.queue)

    empty = _empty_worker(services)
    with services.worker(concurrency=8) as process:
        wait_until(lambda: _is_steady(process.pid), "its memory to be steady")
        idle = _rss(process.pid)
        for index in range(4):  # fill every cache and start every thread
            enqueue(workspaces, list(Transition)[index % 2])
            wait_for_all_builds(services)
        warm = _rss(process.pid)
        for index in range(BUILDS // AT_ONCE):
            enqueue(workspaces, list(Transition)[index % 2])
            wait_for_all_builds(services)
        after = _rss(process.pid)
        enqueue(blocked, Transition.START)
        running = (
            "SELECT count(*) FROM provisioner_jobs WHERE stage = 'apply' AND completed_at IS NULL"
        )
        wait_until(lambda: _count(services, running) == 8, "eight builds to be applied")
        busy = _rss(process.pid)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
    return [
        _against_celery(idle, empty),
        Result(
            bench="memory",
            what=f"growth by {BUILDS} echo builds",
            unit="MB",
            ours=(after - warm) / MB,
            reach="<= 8",
        ),
        Result(
            bench="memory",
            what="each build that runs (without its Terraform)",
            unit="MB",
            ours=(busy - after) / 8 / MB,
        ),
    ]


def _workspaces(services: Services) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
    """Make workspaces whose builds end at once, and eight whose apply waits."""
    factory = services.factory
    organization = factory.organization(everyone_allowance=10_000)
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner, script=SCRIPT)
    waiting = factory.template(
        organization=organization, created_by=owner, script={"apply": {"wait": True}}
    )
    with services.database.begin() as session:
        workspaces = [
            create_workspace(session, owner=owner, template=template, name=f"w{index}").id
            for index in range(AT_ONCE)
        ]
        blocked = [
            create_workspace(session, owner=owner, template=waiting, name=f"b{index}").id
            for index in range(8)
        ]
    return workspaces, blocked


def _against_celery(idle: int, empty: int) -> Result:
    return Result(
        bench="memory",
        what="idle worker, against a Celery worker with an empty app",
        unit="MB",
        ours=idle / MB,
        theirs=empty / MB,
        ratio=idle / empty,
        reach="<= 2",
        aim="<= 1.5",
    )


def _empty_worker(services: Services) -> int:
    """Return the memory of a Celery worker with an empty app, in bytes."""
    with services.celery("bench.noop", concurrency=8) as bare:
        wait_until(
            lambda: _rss(bare.pid) > 0 and bool(psutil.Process(bare.pid).threads()),
            "the start of the bare worker",
        )
        wait_until(lambda: _is_steady(bare.pid), "its memory to be steady")
        return _rss(bare.pid)


def _rss(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


def _is_steady(pid: int, *, seen: dict[int, list[int]] = {}) -> bool:  # noqa: B006 - one run
    history = seen.setdefault(pid, [])
    history.append(_rss(pid))
    return len(history) > 600 and history[-1] - history[-300] < 100_000


def _count(services: Services, query: str) -> int:
    from sqlalchemy import text

    with services.database.begin() as session:
        return int(session.execute(text(query)).scalar_one())
