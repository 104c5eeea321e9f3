"""Measure kinds of writes to PostgreSQL one by one: log lines, states, leases, deletions, vacuum."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from bench.server import Usage, read_usage
from bench.services import Services
from db.jobs.finish import complete_job
from db.jobs.leases import renew_leases
from db.jobs.logs import LogRow, append_logs
from db.jobs.resources import Resource
from db.jobs.results import BuildResult
from db.jobs.retention import Retention, prune
from db.jobs.states import read_state, store_state
from db.jobs.transitions import ClaimedJob
from db.schema.enums import LogLevel, LogSource, Stage, TimingStage
from tests.harness.databases import autocommit
from tests.harness.factory import timing

SLOTS = 8
BATCHES = 150  # on each of the jobs
FEW, MANY = 6, 1_000  # lines in a batch
CHECKPOINTS = 100
RENEWALS = 2_000
RESOURCES = 100  # of a build
TIMINGS = 3  # of a resource: refresh, plan, apply
LEASE = timedelta(hours=2)
STATE_BYTES = 100_000
ROW = LogRow(
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    source=LogSource.PROVISIONER,
    level=LogLevel.INFO,
    stage="Starting workspace",
    output="x" * 80,
)

Costs = dict[str, float]
"""By the names of ``bench.costs.Costs``."""


def running_jobs(services: Services) -> list[ClaimedJob]:
    """Return as many running builds as a worker has slots."""
    return [services.factory.running_build(stage=Stage.APPLY, lease=LEASE) for _ in range(SLOTS)]


def logs(services: Services, jobs: list[ClaimedJob]) -> Costs:
    """Measure small and large batches, to compute the cost of a batch and that of a line."""
    table = "provisioner_job_logs"
    with services.database.begin() as connection:
        # The rows that are deleted later come first, as in a table in use.
        connection.execute(text(f"TRUNCATE {table}"))
    few = _batches(services, jobs, lines=FEW, count=BATCHES)
    many = _batches(services, jobs, lines=MANY, count=5)
    lines = len(jobs) * (BATCHES * FEW + 5 * MANY)
    batch_ms, line_ms = _solved(few.processor_s, many.processor_s, len(jobs))
    batch_wal, line_wal = _solved(few.wal_bytes, many.wal_bytes, len(jobs))
    return {
        "batch_ms": batch_ms * 1000,
        "line_ms": line_ms * 1000 * 1000,
        "batch_wal_kb": batch_wal / 1000,
        "line_wal_kb": line_wal,
        "line_stored_kb": _size(services, table) / lines,
    }


def _batches(services: Services, jobs: list[ClaimedJob], *, lines: int, count: int) -> Usage:
    def write() -> None:
        for _ in range(count):
            for job in jobs:
                with services.database.begin() as session:
                    append_logs(session, job.lease, rows=[ROW] * lines)

    return _spent(services, write)


def _solved(few: float, many: float, jobs: int) -> tuple[float, float]:
    """Solve two equations; return the cost of a batch and the cost of a line."""
    of_few, of_many = few / (jobs * BATCHES), many / (jobs * 5)
    line = (of_many - of_few) / (MANY - FEW)
    return max(0.0, of_few - FEW * line), line


def states(services: Services, jobs: list[ClaimedJob]) -> Costs:
    """Measure checkpoints of states of 0.1 MB, each larger by one resource.

    The worker compresses much larger ones itself, and so they cost PostgreSQL less.
    """
    spent = _checkpoints(services, jobs)
    megabytes = len(jobs) * CHECKPOINTS * len(_state(0)) / 1e6
    with services.database.begin() as session:
        stored = session.execute(
            text(
                "SELECT avg(pg_column_size(provisioner_state)) FROM workspace_builds"
                " WHERE state_lineage = 'bench'"
            )
        ).scalar_one()
    return {
        "state_ms": spent.processor_s * 1000 / megabytes,
        "state_wal_kb": spent.wal_bytes / 1000 / megabytes,
        "state_stored_kb": float(stored) / 1000 / (len(_state(CHECKPOINTS)) / 1e6),
        "state_dead": spent.dead / megabytes,
    }


def _checkpoints(services: Services, jobs: list[ClaimedJob]) -> Usage:
    def write() -> None:
        for serial in range(CHECKPOINTS):
            for job in jobs:
                state = read_state(_state(serial))
                assert state is not None
                with services.database.begin() as session:
                    store_state(session, job.lease, state=state)

    return _spent(services, write)


def _state(serial: int) -> bytes:
    """Return a state of 0.1 MB with repeated names and unique ids, as in a real state."""
    resource = {
        "mode": "managed",
        "type": "kubernetes_persistent_volume_claim",
        "provider": 'provider["registry.terraform.io/hashicorp/kubernetes"]',
    }
    attributes = {
        "wait_until_bound": True,
        "metadata": [{"annotations": None, "generate_name": "", "namespace": "workspaces"}],
        "spec": [{"access_modes": ["ReadWriteOnce"], "storage_class_name": "standard"}],
        "sensitive_attributes": [],
    }
    resources = [
        {
            **resource,
            "name": f"home_{index}",
            "instances": [
                {
                    "schema_version": 1,
                    "attributes": {
                        **attributes,
                        "id": str(uuid.uuid4()),
                        "uid": str(uuid.uuid4()),
                        "resource_version": str(uuid.uuid4()),
                    },
                }
            ],
        }
        for index in range(STATE_BYTES // 585 + serial)
    ]
    content = {"version": 4, "lineage": "bench", "serial": serial, "resources": resources}
    return json.dumps(content).encode()


def renewals(services: Services, jobs: list[ClaimedJob]) -> Costs:
    """Measure the statement that renews the leases of a worker whose slots are all in use."""
    tokens = [job.lease.token for job in jobs]

    def write() -> None:
        for _ in range(RENEWALS):
            with services.database.begin() as session:
                renew_leases(session, tokens=tokens, lease=LEASE)

    spent = _spent(services, write)
    return {
        "renewal_ms": spent.processor_s * 1000 / RENEWALS,
        "renewal_wal_kb": spent.wal_bytes / 1000 / RENEWALS,
        "renewal_dead": spent.dead / RENEWALS,
    }


def resources(services: Services) -> Costs:
    """Finish builds with many resources and with none; the difference is the cost of resources."""
    table, others = "workspace_resources", "provisioner_job_timings"
    before = _size(services, table) + _size(services, others)
    many, none = _finished(services, _result(RESOURCES)), _finished(services, BuildResult())
    stored = _size(services, table) + _size(services, others) - before
    count = SLOTS * RESOURCES
    return {
        "resource_ms": max(0.0, many.processor_s - none.processor_s) * 1000 / count,
        "resource_wal_kb": (many.wal_bytes - none.wal_bytes) / 1000 / count,
        "resource_stored_kb": stored / 1000 / count,
    }


def _finished(services: Services, result: BuildResult) -> Usage:
    jobs = running_jobs(services)
    before = read_usage(services)
    for job in jobs:
        with services.database.begin() as connection:
            complete_job(connection, job.lease, result=result)
    return read_usage(services) - before


def _result(count: int) -> BuildResult:
    took = timing(
        TimingStage.APPLY,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        source="kubernetes",
        action="create",
        resource="kubernetes_persistent_volume_claim.home",
    )
    return BuildResult(
        resources=[
            Resource(type="kubernetes_persistent_volume_claim", name=f"home_{index}")
            for index in range(count)
        ],
        timings=[took] * (count * TIMINGS),
    )


def deletions(services: Services) -> Costs:
    """Prune the lines of ``logs`` as if they were old; then vacuum at the pace of autovacuum."""
    _as_replica(
        services,
        "UPDATE provisioner_jobs SET completed_at = now() - interval '40 days',"
        " started_at = now() - interval '40 days' WHERE completed_at IS NULL",
    )
    before = read_usage(services)
    started = time.perf_counter()
    pruned = prune(services.database, Retention())
    took = time.perf_counter() - started
    spent = read_usage(services) - before
    thousands = pruned.log_lines / 1000
    return {
        "prune_ms": took * 1000 / thousands,
        "prune_wal_kb": spent.wal_bytes / 1000 / thousands,
        "vacuum_lines": pruned.log_lines / _vacuum_s(services, "provisioner_job_logs"),
    }


def dead_jobs(services: Services, *, count: int = 20_000) -> Costs:
    """Vacuum after updates of many job rows, which are wide and have nine indexes."""
    _vacuum_s(services, "provisioner_jobs")
    _as_replica(
        services,
        "UPDATE provisioner_jobs SET created_at = created_at - interval '1 second'"
        f" WHERE id IN (SELECT id FROM provisioner_jobs ORDER BY random() LIMIT {count})",
    )
    return {"vacuum_rows": count / _vacuum_s(services, "provisioner_jobs")}


def _vacuum_s(services: Services, table: str) -> float:
    with autocommit(services.database) as connection:
        connection.execute(text("SET statement_timeout = 0"))
        # A manual VACUUM makes no pauses unless it gets the delay of autovacuum.
        connection.execute(text("SET vacuum_cost_delay = '2ms'"))
        started = time.perf_counter()
        connection.execute(text(f"VACUUM {table}"))
        took = time.perf_counter() - started
        connection.execute(text("RESET vacuum_cost_delay"))
        connection.execute(text("SET statement_timeout = '30s'"))
    return took


def _as_replica(services: Services, statement: str) -> None:
    with services.database.begin() as connection:
        # A trigger refuses changes of finished jobs.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(statement))


def _spent(services: Services, write: Callable[[], None]) -> Usage:
    before = read_usage(services)
    write()
    with autocommit(services.database) as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.execute(text("SELECT 1"))
    return read_usage(services) - before


def _size(services: Services, table: str) -> float:
    with services.database.begin() as session:
        query = text("SELECT pg_total_relation_size(CAST(:table AS regclass))")
        return float(session.execute(query, {"table": table}).scalar_one())
