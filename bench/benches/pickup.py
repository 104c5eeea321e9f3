"""The time from the commit of an enqueue to the claim, against Celery's from publish to start."""

from __future__ import annotations

import time
import uuid

import celery
from sqlalchemy import text

from bench.benches.throughput import SCRIPT
from bench.measure import Result, pair_quantiles
from bench.services import Services
from db.schema.enums import Transition
from worker.enqueue import enqueue_build

BUILDS = 60


def run(services: Services, rounds: int = 3) -> list[Result]:
    workspace = services.factory.any_workspace(allowance=100, script=SCRIPT)
    ours: list[float] = []
    theirs: list[float] = []
    with services.worker(concurrency=4), services.celery("bench.noop", concurrency=4):
        from bench.noop import stamp  # imported late: it reads the broker's URL

        for index in range(rounds * BUILDS // 2):
            ours += [_build(services, workspace.id, transition) for transition in _both()]
            theirs += [_task(services, stamp) for _ in range(2)]
            if index == 0:
                ours.clear()
                theirs.clear()  # warm now
    return [
        pair_quantiles(ours, theirs, share).result(
            "pickup",
            f"enqueue's commit to claim, {name}, against publish to start of a task",
            unit="ms",
            reach=reach,
            aim=aim,
        )
        for share, name, reach, aim in ((0.5, "p50", "<= 3", "<= 1.5"), (0.99, "p99", "", ""))
    ]


def _both() -> tuple[Transition, Transition]:
    return Transition.START, Transition.STOP


def _build(services: Services, workspace_id: uuid.UUID, transition: Transition) -> float:
    job_id, committed = run_build(services, workspace_id, transition)
    with services.database.begin() as session:
        started = session.execute(
            text("SELECT extract(epoch FROM started_at)::float FROM provisioner_jobs WHERE id=:id"),
            {"id": job_id},
        ).scalar_one()
    return float(started) - committed


def run_build(
    services: Services, workspace_id: uuid.UUID, transition: Transition
) -> tuple[uuid.UUID, float]:
    """Enqueue a build and wait for its end; return its job, and when the enqueue was committed."""
    with services.database.begin() as session:
        build = enqueue_build(session, workspace_id=workspace_id, transition=transition)
        # The commit is the next thing that happens.
        committed = session.execute(
            text("SELECT extract(epoch FROM clock_timestamp())::float")
        ).scalar_one()
    services.wait_for_build(build.job_id)
    return build.job_id, committed


def _task(services: Services, stamp: celery.Task) -> float:
    published = time.time()
    stamp.delay()
    return float(services.pop("noop.stamp")) - published
