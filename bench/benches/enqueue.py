"""``enqueue_build`` calls, against the plain INSERTs of the same rows and a ``send_task``.

It also measures that a Redis which is stopped and does not answer does not delay a caller.
"""

from __future__ import annotations

import asyncio
import json
import signal
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from celery import Celery
from sqlalchemy import text

from bench.benches.throughput import SCRIPT
from bench.measure import Result, pair
from bench.services import Services
from db.catalog.workspaces import create_workspace
from db.schema.enums import Transition
from db.schema.tables import Template, User
from tests.harness.redis_server import RedisServer
from worker.broker.address import broker_url
from worker.embedded.directory import free_port
from worker.enqueue import enqueue_build

CALLS = 150
TIMER_S = 0.001


def run(services: Services, rounds: int = 5) -> list[Result]:
    app = Celery("bench", broker=broker_url(services.redis_url), set_as_current=False)
    factory = services.factory
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner, script=SCRIPT)
    number = iter(range(10**6))

    def workspaces() -> list[uuid.UUID]:
        with services.database.begin() as session:
            names = [f"w{next(number)}" for _ in range(CALLS)]
            made = [
                create_workspace(session, owner=owner, template=template, name=n) for n in names
            ]
            return [workspace.id for workspace in made]

    def ours() -> float:
        made = workspaces()
        started = time.perf_counter()
        for workspace_id in made:
            with services.database.begin() as session:
                enqueue_build(session, workspace_id=workspace_id, transition=Transition.START)
        return CALLS / (time.perf_counter() - started)

    def theirs() -> float:
        made = workspaces()
        rows = [_rows(services, template, owner, workspace_id) for workspace_id in made]
        started = time.perf_counter()
        for row in rows:
            with services.database.begin() as connection:
                connection.execute(INSERT_JOB, row)
                connection.execute(INSERT_BUILD, row)
            app.send_task("run_next_build", args=("other",), queue="other", ignore_result=True)
        return CALLS / (time.perf_counter() - started)

    calls = pair(ours, theirs, rounds=rounds)
    return [
        calls.result(
            "enqueue",
            "enqueue_build, against INSERT of job and build and send_task",
            unit="1/s",
            reach=">= 0.5",
            aim=">= 0.8",
        ),
        *_hung(services, workspaces),
    ]


def _hung(services: Services, workspaces: Callable[[], list[uuid.UUID]]) -> list[Result]:
    """Enqueue while Redis is stopped: in a plain thread, and in the thread of an event loop."""
    with _stopped_redis(services.data_dir) as redis_url:

        def enqueue(workspace_id: uuid.UUID) -> float:
            started = time.perf_counter()
            with services.database.begin() as session:
                enqueue_build(
                    session,
                    workspace_id=workspace_id,
                    transition=Transition.START,
                    redis_url=redis_url,
                )
            return 1000 * (time.perf_counter() - started)

        calls = [enqueue(workspace_id) for workspace_id in workspaces()]
        stall = asyncio.run(_longest_stall(enqueue, workspaces()))
    return [
        Result(
            bench="enqueue",
            what=what,
            unit="ms",
            ours=value,
            reach="<= 50",
            aim="<= 20",
            note=f"{CALLS} calls, Redis stopped by SIGSTOP",
        )
        for what, value in (
            ("enqueue_build and COMMIT while Redis hangs, p99", _p99(calls)),
            ("longest time that such calls keep an event loop busy, p99", _p99(stall)),
        )
    ]


async def _longest_stall(
    enqueue: Callable[[uuid.UUID], float], workspaces: Sequence[uuid.UUID]
) -> list[float]:
    """Return how late a timer of the loop came, in ms, for each call made in the loop's thread."""
    late: list[float] = []
    for workspace_id in workspaces:
        due = time.perf_counter() + TIMER_S
        timer = asyncio.create_task(asyncio.sleep(TIMER_S))
        await asyncio.sleep(0)
        enqueue(workspace_id)
        await timer
        late.append(max(0.0, 1000 * (time.perf_counter() - due)))
    return late


@contextmanager
def _stopped_redis(directory: Path) -> Iterator[str]:
    """Yield the URL of a Redis that accepts connections but does not answer."""
    server = RedisServer(directory=directory, port=free_port())
    server.start()
    server.send(signal.SIGSTOP)
    try:
        yield server.url
    finally:
        server.kill()


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


INSERT_JOB = text("""
    INSERT INTO provisioner_jobs
        (id, organization_id, initiator_id, provisioner, file_id, type, input, tags,
         workspace_id, owner_id, queue)
    VALUES (:job_id, :organization_id, :owner_id, 'echo', :file_id, 'workspace_build',
            CAST(:input AS jsonb), CAST(:tags AS jsonb), :workspace_id, :owner_id, 'other')
""")
INSERT_BUILD = text("""
    INSERT INTO workspace_builds
        (id, workspace_id, template_version_id, build_number, transition, initiator_id, job_id)
    VALUES (:build_id, :workspace_id, :version_id, 1, 'start', :owner_id, :job_id)
""")


def _rows(
    services: Services, template: Template, owner: User, workspace_id: uuid.UUID
) -> dict[str, object]:
    build_id = uuid.uuid4()
    with services.database.begin() as session:
        file_id = session.execute(text("SELECT id FROM files LIMIT 1")).scalar_one()
    return {
        "job_id": uuid.uuid4(),
        "build_id": build_id,
        "organization_id": template.organization_id,
        "owner_id": owner.id,
        "file_id": file_id,
        "input": json.dumps({"workspace_build_id": str(build_id)}),
        "tags": json.dumps({"scope": "organization", "owner": ""}),
        "workspace_id": workspace_id,
        "version_id": template.active_version_id,
    }
