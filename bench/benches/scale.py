"""The cost of one worker and one build for PostgreSQL and Redis, and of 1,000 idle workers.

``bench.growth`` computes from it what many workers need; ``docs/scale.md`` shows the result.
"""

from __future__ import annotations

import re
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence

from redis import Redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from bench import fleet, server, writes
from bench.benches.claim import CLAIMERS, CLAIMS, _claim_concurrently
from bench.benches.throughput import BUILDS, make_workspaces, wait_for_all_builds
from bench.costs import described
from bench.measure import Result
from bench.rows import analyze, fill_jobs
from bench.services import Services
from db.catalog.builds import insert_build
from db.schema.enums import Transition
from tests.harness.databases import autocommit
from worker.broker.doorbell import ring_at

SLOTS = 8
MINUTE_S = 60.0
ROUNDS = 4  # of builds
STORED = 100_000  # builds in a large table

# A part of each statement of an idle worker that identifies it in the log of PostgreSQL.
KINDS: Mapping[str, str] = {
    "heartbeat": "SET last_seen_at",
    "overdue jobs": "AS transition\n\t            FROM provisioner_jobs AS job",
    "lost jobs": "WHERE leases.expires_at",
    "forgotten jobs": "AS served (queue)",
    "watchdog": "AS claimable",
    "pruner": "SELECT id\n\t            FROM provisioner_daemons",
}
# Statements of transactions, and those of this bench that turn the log on and off.
NOT_THEIRS = ("BEGIN", "COMMIT", "ROLLBACK", "ALTER SYSTEM", "SELECT pg_reload_conf")
LOGGED = re.compile(r"LOG:  (?:statement|execute [^:]+): ")

Costs = dict[str, float]


def run(services: Services, rounds: int = ROUNDS) -> list[Result]:
    clients = len(_clients(services))
    with services.worker(concurrency=SLOTS):
        costs, kinds = _idle(services, clients)
        costs |= _builds(services, rounds)
    jobs = writes.running_jobs(services)
    costs |= writes.logs(services, jobs)
    costs |= writes.states(services, jobs)
    costs |= writes.renewals(services, jobs)
    costs |= writes.resources(services)
    costs |= writes.deletions(services)
    costs |= writes.dead_jobs(services)
    of_fleet, seen = fleet.measure(services, watched=[job.id for job in jobs])
    costs |= of_fleet | _claims(services)
    return [
        *(
            Result(bench="scale", what=what, unit=unit, ours=costs[name])
            for name, (what, unit) in described().items()
        ),
        *seen,
        *(
            Result(
                bench="scale", what=f"statements of an idle worker: {kind}", unit="1/min", ours=n
            )
            for kind, n in kinds
        ),
    ]


def _idle(services: Services, clients: int) -> tuple[Costs, list[tuple[str, int]]]:
    """Record the statements of a real worker in a minute without jobs."""
    time.sleep(server.FLUSH_S)  # the start must not be measured
    log = services.data_dir / "embedded/servers/postgresql.log"
    start = log.stat().st_size
    before = server.read_usage(services)
    _log_statements(services, "all")
    time.sleep(MINUTE_S)
    _log_statements(services, "none")
    spent = server.read_usage(services) - before
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(start)
        kinds = _kinds(lines.read())
    theirs = _clients(services)
    return {
        "idle_transactions": spent.transactions,
        "idle_connections": server.connections(services),
        "connection_mb": server.private_mb(services),
        "redis_connections": len(theirs) - clients,
        "redis_commands": spent.redis_commands,
        "redis_client_kb": sum(int(c["tot-mem"]) for c in theirs) / len(theirs) / 1000,
    }, kinds


def _log_statements(services: Services, which: str) -> None:
    with autocommit(services.database) as connection:
        connection.execute(text(f"ALTER SYSTEM SET log_statement = '{which}'"))
        connection.execute(text("SELECT pg_reload_conf()"))


def _kinds(logged: str) -> list[tuple[str, int]]:
    """Count the statements by kind."""
    counts: Counter[str] = Counter()
    for statement in LOGGED.split(logged)[1:]:
        found = (kind for kind, part in KINDS.items() if part in statement)
        if not statement.startswith(NOT_THEIRS):
            counts[next(found, "other")] += 1
    return counts.most_common()


def _clients(services: Services) -> list[dict[str, str]]:
    redis: Redis = services.redis
    try:
        mine = redis.client_id()
        return [client for client in redis.client_list() if client["id"] != str(mine)]
    finally:
        redis.close()


def _builds(services: Services, rounds: int) -> Costs:
    """Measure echo builds of a warm worker; then with many rows, right after a checkpoint."""
    workspaces = make_workspaces(services, BUILDS)
    _run_builds(services, workspaces, 1)
    time.sleep(server.FLUSH_S)
    size, before = _stored(services), server.read_usage(services)
    _run_builds(services, workspaces, rounds)
    after = server.read_usage(services)
    busy = server.connections(services)
    time.sleep(server.FLUSH_S)
    spent, counted = after - before, server.read_usage(services) - before
    builds = rounds * BUILDS
    grown = _stored(services) - size
    return {
        "busy_connections": busy,
        "build_transactions": counted.transactions / builds,
        "build_ms": spent.processor_s * 1000 / builds,
        "build_wal_kb": spent.wal_bytes / 1000 / builds,
        "build_updates": counted.updates / builds,
        "build_dead": counted.dead / builds,
        "build_stored_kb": grown / 1000 / builds,
        "redis_build_commands": spent.redis_commands / builds,
        "redis_build_ms": spent.redis_processor_s * 1000 / builds,
        "build_cold_wal_kb": _cold_wal(services, workspaces) / 1000 / BUILDS,
    }


def _cold_wal(services: Services, workspaces: Sequence[uuid.UUID]) -> float:
    factory = services.factory
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner)
    fill_jobs(services, STORED, owner=owner, template=template, pending=False)
    analyze(services)
    with autocommit(services.database) as connection:
        connection.execute(text("CHECKPOINT"))
    before = server.read_usage(services)
    _run_builds(services, workspaces, 1)
    return (server.read_usage(services) - before).wal_bytes


def _run_builds(services: Services, workspaces: Sequence[uuid.UUID], rounds: int) -> None:
    """Start and stop the workspaces in turn, with a transaction and a doorbell for each build."""
    ring = ring_at(services.redis_url)
    for _ in range(rounds):
        for workspace in workspaces:
            with services.database.begin() as session:
                build = insert_build(
                    session, workspace_id=workspace, transition=_next_transition(session, workspace)
                )
            ring(build.queue)
        wait_for_all_builds(services, tick_s=0.25)


def _next_transition(session: Session, workspace: uuid.UUID) -> Transition:
    query = "SELECT count(*) FROM workspace_builds WHERE workspace_id = :id"
    built = session.execute(text(query), {"id": workspace}).scalar_one()
    return Transition.STOP if built % 2 else Transition.START


def _stored(services: Services) -> float:
    query = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
    with services.database.begin() as session:
        return float(session.execute(text(query)).scalar_one())


def _claims(services: Services) -> Costs:
    started = time.perf_counter()
    _claim_concurrently(services)
    return {"claims": CLAIMERS * CLAIMS / (time.perf_counter() - started)}
