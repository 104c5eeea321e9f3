"""What readers of job rows ask, at a million jobs against a thousand."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import text

from bench.measure import Result, quantile
from bench.place import Place
from bench.rows import analyze, fill_jobs
from db.enums import JobStatus
from db.queries import get_job, get_logs, list_jobs

SIZES = (1_000, 1_000_000)
CALLS = 200


def run(place: Place, rounds: int = 1) -> list[Result]:
    factory = place.factory
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner)
    times: dict[str, list[float]] = {}
    have = 0
    for size in SIZES:
        fill_jobs(place, size - have, owner=owner, template=template, pending=False)
        fill_jobs(place, 200, owner=owner, template=template, pending=True)
        have = size
        analyze(place)
        finished, pending = _some_jobs(place)
        reads: dict[str, Callable] = {
            "a finished job by id": lambda s, i=finished: get_job(s, i),
            "a pending job with its queue position": lambda s, i=pending: get_job(s, i),
            "the newest 50 jobs": lambda s: list_jobs(s, organization.id),
            "the newest 50 failed or canceled jobs": lambda s: list_jobs(
                s, organization.id, statuses=(JobStatus.FAILED, JobStatus.CANCELED)
            ),
            "log lines after an id": lambda s, i=finished: get_logs(s, i, after=0),
        }
        for name, read in reads.items():
            times.setdefault(name, []).append(_median(place, read))
    return [
        Result(
            bench="reads",
            what=f"{name}, at 1M jobs against 1k",
            unit="ms",
            ours=many * 1000,
            theirs=few * 1000,
            ratio=many / few,
            reach="<= 1.5",
            aim="<= 1.1",
            rounds=CALLS,
        )
        for name, (few, many) in times.items()
    ]


def _median(place: Place, read: Callable) -> float:
    times = []
    for _ in range(CALLS):
        with place.database.begin() as session:
            started = time.perf_counter()
            read(session)
            times.append(time.perf_counter() - started)
    return quantile(times, 0.5)


def _some_jobs(place: Place):
    with place.database.begin() as session:
        return tuple(
            session.execute(
                text(f"""
                    SELECT id FROM provisioner_jobs
                    WHERE type = 'workspace_build' AND completed_at IS {null} NULL LIMIT 1
                """)
            ).scalar_one()
            for null in ("NOT", "")
        )
