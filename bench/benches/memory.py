"""The memory of an idle worker, of a running build, and after two thousand builds."""

from __future__ import annotations

import signal
import sys
import uuid
from collections.abc import Sequence

import psutil

from bench.benches.throughput import SCRIPT, wait_for_all_builds
from bench.measure import Result
from bench.services import Services, running
from db.catalog.builds import insert_build
from db.catalog.workspaces import create_workspace
from db.schema.enums import Transition
from tests.harness.api.process import ApiProcess
from tests.harness.waiting import wait_until
from worker.broker.doorbell import ring_at
from worker.process.children import free_address, is_ready

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
    with services.worker(concurrency=2, pool="prefork") as process:
        enqueue(workspaces, Transition.START)
        wait_for_all_builds(services)
        forked = _largest_child(process.pid)
    return [
        _compared("idle worker, against a Celery worker with an empty app", idle, empty),
        _compared("idle HTTP API, against a bare FastAPI app in uvicorn", *_apis(services)),
        Result(
            bench="memory",
            what="each process of prefork, what it does not share",
            unit="MB",
            ours=forked / MB,
            reach="<= 40",
        ),
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


def _compared(what: str, ours: int, theirs: int) -> Result:
    return Result(
        bench="memory",
        what=what,
        unit="MB",
        ours=ours / MB,
        theirs=theirs / MB,
        ratio=ours / theirs,
        reach="<= 1.5",
        aim="<= 1.3",
    )


def _apis(services: Services) -> tuple[int, int]:
    """Return the memory of the HTTP API and of a bare FastAPI app, both idle, in bytes."""
    api = ApiProcess(environment=services.environment())
    api.start()
    try:
        assert api.process is not None
        ours = _steady_rss(api.process.pid)
    finally:
        api.kill()
    host, _, port = free_address().partition(":")
    command = [sys.executable, "-m", "uvicorn", "bench.bare:app", f"--host={host}"]
    with running([*command, f"--port={port}"]) as bare:
        wait_until(lambda: is_ready(f"{host}:{port}"), "the bare app to be ready")
        return ours, _steady_rss(bare.pid)


def _steady_rss(pid: int) -> int:
    wait_until(lambda: _is_steady(pid), "its memory to be steady", within_s=120)
    return _rss(pid)


def _empty_worker(services: Services) -> int:
    """Return the memory of a Celery worker with an empty app, in bytes."""
    with services.celery("bench.noop", concurrency=8) as bare:
        wait_until(
            lambda: _rss(bare.pid) > 0 and bool(psutil.Process(bare.pid).threads()),
            "the start of the bare worker",
        )
        wait_until(lambda: _is_steady(bare.pid), "its memory to be steady")
        return _rss(bare.pid)


def _largest_child(pid: int) -> int:
    """Return the most that a process below this one has for itself, in bytes."""
    children = psutil.Process(pid).children(recursive=True)
    return max(int(child.memory_full_info().uss) for child in children)


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
