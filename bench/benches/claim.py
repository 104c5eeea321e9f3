"""Claims with a thousand, a hundred thousand and a million pending rows, with dead tuples."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import timedelta

from sqlalchemy import text

from bench.measure import Result, quantile
from bench.rows import analyze, fill_jobs
from bench.services import BENCH_DEADLINE_S, Services
from db.jobs.transitions import claim_job
from db.schema.enums import ProvisionerType
from tests.harness.databases import autocommit
from tests.harness.threads import run_together

SIZES = (1_000, 100_000, 1_000_000)
CLAIMERS = 8
CLAIMS = 60  # by each claimer
DEAD = 100_000

# The claim query of Coder, on our rows.
REFERENCE = text("""
    UPDATE provisioner_jobs
    SET started_at = now(), updated_at = now(), worker_id = :worker_id,
        lease_token = gen_random_uuid()
    WHERE id = (
        SELECT id FROM provisioner_jobs AS job
        WHERE job.started_at IS NULL AND job.completed_at IS NULL
          AND job.organization_id = :organization_id
          AND job.provisioner = ANY(ARRAY['echo', 'terraform']::provisioner_type[])
          AND job.tags <@ '{"scope": "organization", "owner": ""}'::jsonb
        ORDER BY (job.initiator_id = 'c42fdf75-3097-471c-8c33-fb52454d81c0'), job.created_at
        FOR UPDATE SKIP LOCKED
        LIMIT 1
    )
    RETURNING id
""")


def run(services: Services, rounds: int = 1) -> list[Result]:
    factory = services.factory
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner)
    quantiles: dict[int, tuple[float, float]] = {}
    reference: dict[int, float] = {}
    have = 0
    for size in SIZES:
        fill_jobs(services, size - have, owner=owner, template=template, pending=True)
        have = size
        analyze(services)
        if size == SIZES[-1]:
            _leave_dead_tuples(services)
        times = _claim_concurrently(services)
        quantiles[size] = quantile(times, 0.5), quantile(times, 0.99)
        reference[size] = _reference(services, organization.id)
    return _results(quantiles, reference)


def _results(
    quantiles: dict[int, tuple[float, float]], reference: dict[int, float]
) -> list[Result]:
    p50, p99 = quantiles[SIZES[-1]]
    return [
        *(
            Result(
                bench="claim",
                what=f"p50 of a claim at {size:,} pending, against Coder's claim query",
                unit="ms",
                ours=quantiles[size][0] * 1000,
                theirs=reference[size] * 1000,
                ratio=quantiles[size][0] / reference[size],
                rounds=CLAIMERS * CLAIMS,
            )
            for size in SIZES
        ),
        Result(
            bench="claim",
            what=f"p50 at 1M pending and {DEAD:,} dead tuples, against itself at 1k",
            unit="ms",
            ours=p50 * 1000,
            theirs=quantiles[SIZES[0]][0] * 1000,
            ratio=p50 / quantiles[SIZES[0]][0],
            reach="<= 1.5",
            aim="<= 1.1",
            rounds=CLAIMERS * CLAIMS,
        ),
        Result(
            bench="claim",
            what="p99 of the same",
            unit="ms",
            ours=p99 * 1000,
            theirs=quantiles[SIZES[0]][1] * 1000,
            ratio=p99 / quantiles[SIZES[0]][1],
            rounds=CLAIMERS * CLAIMS,
        ),
    ]


def _claim_concurrently(services: Services) -> list[float]:
    times: list[float] = []
    lock = threading.Lock()

    def claim() -> None:
        mine = []
        for _ in range(CLAIMS):
            started = time.perf_counter()
            with services.database.begin() as connection:
                job = claim_job(
                    connection,
                    queue="builds",
                    worker_id=uuid.uuid4(),
                    lease=timedelta(hours=1),
                    provisioners=tuple(ProvisionerType),
                )
            mine.append(time.perf_counter() - started)
            assert job is not None
        with lock:
            times.extend(mine)

    run_together([claim] * CLAIMERS, within_s=BENCH_DEADLINE_S)
    return times


def _reference(services: Services, organization_id: uuid.UUID) -> float:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        with services.database.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(
                REFERENCE, {"worker_id": uuid.uuid4(), "organization_id": organization_id}
            )
        times.append(time.perf_counter() - started)
    return quantile(times, 0.5)


def _leave_dead_tuples(services: Services) -> None:
    """Update ``DEAD`` pending rows, so that each leaves a dead row version behind."""
    with autocommit(services.database) as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(
            text("""
                UPDATE provisioner_jobs SET fair_rank = fair_rank + 1
                WHERE id IN (
                    SELECT id FROM provisioner_jobs
                    WHERE started_at IS NULL AND completed_at IS NULL
                    ORDER BY priority, fair_rank, created_at LIMIT :dead
                )
            """),
            {"dead": DEAD},
        )
