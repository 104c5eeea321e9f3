"""Compare with Procrastinate's queue, in a separate database on the same PostgreSQL server.

The notes show what each side uses: transactions that write, bytes of WAL, processor time of the
measured process and of the servers.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
from sqlalchemy import make_url, text

from bench.benches.pickup import run_build
from bench.benches.throughput import (
    BUILDS,
    SLOTS,
    failed,
    is_busy,
    make_workspaces,
    run_builds,
)
from bench.measure import Result, pair, pair_quantiles, timed
from bench.meter import Meter
from bench.services import BENCH_DEADLINE_S, Services, running
from db.schema.enums import Transition
from tests.harness.databases import autocommit
from tests.harness.waiting import wait_until
from worker.enqueue import enqueue_build

Workers = tuple[int, int]
"""Process ids of our worker and of the other one."""

CALLS = 150
PICKUPS = 60
RIVAL = "rival"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Procrastinate's application in this process, and a connection to its database."""

    module: Any
    connection: psycopg.Connection

    def value(self, query: str, *arguments: object) -> Any:
        with self.connection.transaction():
            return self.ask(query, *arguments)

    def ask(self, query: str, *arguments: object) -> Any:
        """Return one value, within the open transaction."""
        found = self.connection.execute(query, arguments).fetchone()
        assert found is not None
        return found[0]

    def is_idle(self) -> bool:
        # Two queries, because each has an index there; a count of both would read all jobs.
        return not self.value("""
            SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status = 'todo')
                OR EXISTS (SELECT FROM procrastinate_jobs
                           WHERE status = 'doing' AND worker_id IS NOT NULL)
        """)


@dataclass(frozen=True, kw_only=True)
class Pickup:
    """Times since the commit of an enqueue."""

    claim_s: float  #: by the clock of the database on both sides
    work_s: float  #: by the clock of the worker


def run(services: Services, rounds: int = 5) -> list[Result]:
    os.environ["BENCH_DATABASE_URL"] = services.database_url
    with _rival(services) as rival:
        results = [_enqueue(services, rival, rounds)]
        with services.worker(concurrency=SLOTS) as ours, _rival_worker() as theirs:
            # The builds and tasks that are enqueued already warm up both.
            wait_until(
                lambda: not is_busy(services) and rival.is_idle(),
                "the ends of all builds and tasks",
                within_s=BENCH_DEADLINE_S,
            )
            results += _pickup(services, rival, rounds)
            workers = (ours.pid, theirs.pid)
            results.append(_throughput(services, rival, rounds, workers, "whole echo builds"))
        with (
            services.celery("bench.nobuild", concurrency=SLOTS) as ours,
            _rival_worker() as theirs,
        ):
            workers = (ours.pid, theirs.pid)
            results.append(_throughput(services, rival, rounds, workers, "jobs without a build"))
    return results


@contextmanager
def _rival(services: Services) -> Iterator[Rival]:
    with autocommit(services.database) as connection:
        connection.execute(text(f"CREATE DATABASE {RIVAL}"))
    url = make_url(services.database_url).set(drivername="postgresql", database=RIVAL)
    os.environ["BENCH_RIVAL_URL"] = url.render_as_string(hide_password=False)
    os.environ["BENCH_REDIS_URL"] = services.redis_url
    from bench import rival  # imported late: it reads the database's URL

    with rival.app.open(), psycopg.connect(os.environ["BENCH_RIVAL_URL"]) as connection:
        rival.app.schema_manager.apply_schema()
        yield Rival(module=rival, connection=connection)


@contextmanager
def _rival_worker() -> Iterator[subprocess.Popen[bytes]]:
    command = [
        *(sys.executable, "-m", "procrastinate", "--app=bench.rival.app", "--log-level=error"),
        *("worker", f"--concurrency={SLOTS}"),
    ]
    with running(command) as process:
        yield process


def _enqueue(services: Services, rival: Rival, rounds: int) -> Result:
    here = psutil.Process()
    ours, theirs = Meter(services=services, process=here), Meter(services=services, process=here)
    workspaces = [make_workspaces(services, CALLS) for _ in range(rounds + 1)]

    def enqueue_builds() -> None:
        for workspace_id in workspaces.pop():
            with services.database.begin() as session:
                enqueue_build(session, workspace_id=workspace_id, transition=Transition.START)

    def defer_tasks() -> None:
        for _ in range(CALLS):
            rival.module.noop.defer()

    enqueue_builds()
    defer_tasks()  # warm up both
    calls = pair(
        lambda: ours.measure(CALLS, lambda: CALLS / timed(enqueue_builds)),
        lambda: theirs.measure(CALLS, lambda: CALLS / timed(defer_tasks)),
        rounds=rounds,
    )
    return calls.result(
        "rivals",
        "enqueue_build with its doorbell, against defer: more is better",
        unit="1/s",
        note=f"a call takes {ours}; theirs {theirs}",
    )


def _pickup(services: Services, rival: Rival, rounds: int) -> list[Result]:
    (workspace,) = make_workspaces(services, 1)
    ours: list[Pickup] = []
    theirs: list[Pickup] = []
    for index in range(1 + rounds * PICKUPS // 2):
        for transition in (Transition.START, Transition.STOP):
            ours.append(_build_pickup(services, workspace, transition))
            theirs.append(_task_pickup(services, rival))
        if index == 0:
            ours.clear()
            theirs.clear()  # warm now
    measured: Mapping[str, Callable[[Pickup], float]] = {
        "commit to claim, against defer's commit to fetch": lambda one: one.claim_s,
        "commit to the plan's first line, against start of the task": lambda one: one.work_s,
    }
    return [
        _pickup_result(what, share, [pick(one) for one in ours], [pick(one) for one in theirs])
        for what, pick in measured.items()
        for share in (0.5, 0.99)
    ]


def _pickup_result(
    what: str, share: float, ours: Sequence[float], theirs: Sequence[float]
) -> Result:
    return pair_quantiles(ours, theirs, share).result(
        "rivals", f"{what}, p{share * 100:.0f}: less is better", unit="ms"
    )


def _build_pickup(services: Services, workspace_id: uuid.UUID, transition: Transition) -> Pickup:
    job_id, committed = run_build(services, workspace_id, transition)
    query = text("""
        SELECT extract(epoch FROM started_at)::float,
               (SELECT extract(epoch FROM min(created_at))::float
                FROM provisioner_job_logs WHERE job_id = :id)
        FROM provisioner_jobs WHERE id = :id
    """)
    with services.database.begin() as session:
        claimed, worked = session.execute(query, {"id": job_id}).one()
    return Pickup(claim_s=claimed - committed, work_s=worked - committed)


def _task_pickup(services: Services, rival: Rival) -> Pickup:
    with rival.connection.transaction():
        job_id = rival.module.stamp.configure(connection=rival.connection).defer()
        # The commit is the next thing that happens.
        committed = rival.ask("SELECT extract(epoch FROM clock_timestamp())::float")
    started = services.pop("rival.stamp")
    wait_until(rival.is_idle, "the end of the task", tick_s=0.002)
    claimed = rival.value(
        "SELECT extract(epoch FROM at)::float FROM procrastinate_events "
        "WHERE job_id = %s AND type = 'started'",
        job_id,
    )
    return Pickup(claim_s=claimed - committed, work_s=float(started) - committed)


def _throughput(
    services: Services, rival: Rival, rounds: int, workers: Workers, what: str
) -> Result:
    workspaces = make_workspaces(services, BUILDS)
    transitions = itertools.cycle((Transition.START, Transition.STOP))
    ours, theirs = (Meter(services=services, process=psutil.Process(pid)) for pid in workers)

    def builds() -> float:
        return run_builds(services, workspaces, next(transitions))

    def tasks() -> float:
        with rival.connection.transaction():
            noop = rival.module.noop.configure(connection=rival.connection)
            noop.batch_defer(*({} for _ in range(BUILDS)))
            started = time.perf_counter()
        wait_until(rival.is_idle, "the ends of all tasks", within_s=BENCH_DEADLINE_S)
        return BUILDS / (time.perf_counter() - started)

    builds(), tasks()  # warm up both
    rates = pair(
        lambda: ours.measure(BUILDS, builds), lambda: theirs.measure(BUILDS, tasks), rounds=rounds
    )
    return rates.result(
        "rivals",
        f"{what}, against no-op tasks: more is better",
        unit="1/s",
        note=f"one takes {ours}; theirs {theirs}; {failed(services)} failed",
    )
