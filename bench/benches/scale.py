"""What one worker and one build cost PostgreSQL and Redis, and 500 idle workers at once.

``bench.growth`` computes from it what many workers need; ``docs/scale.md`` shows that.
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
from bench.benches.throughput import BUILDS, is_busy, make_workspaces
from bench.costs import described
from bench.measure import Result
from bench.place import BENCH_DEADLINE_S, Place
from bench.rows import analyze, fill_jobs
from db.catalog.workspaces import insert_build
from db.schema.enums import Transition
from tests.harness.databases import autocommit
from tests.harness.waiting import wait_until
from worker.broker.doorbell import ring_at

SLOTS = 8
MINUTE_S = 60.0
ROUNDS = 4  # of builds
STORED = 100_000  # builds, when the table is to be large

# What is telling of each statement of an idle worker, as the log of PostgreSQL shows it.
KINDS: Mapping[str, str] = {
    "heartbeat": "SET last_seen_at",
    "overdue jobs": "AS transition\n\t            FROM provisioner_jobs AS job",
    "lost jobs": "WHERE leases.expires_at",
    "forgotten jobs": "AS served (queue)",
    "watchdog": "AS claimable",
    "pruner": "SELECT id\n\t            FROM provisioner_daemons",
}
# What is no statement of its own, and what turns the log on and off.
NOT_THEIRS = ("BEGIN", "COMMIT", "ROLLBACK", "ALTER SYSTEM", "SELECT pg_reload_conf")
LOGGED = re.compile(r"LOG:  (?:statement|execute [^:]+): ")

Costs = dict[str, float]


def run(place: Place, rounds: int = ROUNDS) -> list[Result]:
    clients = len(_clients(place))
    with place.worker(concurrency=SLOTS):
        costs, kinds = _idle(place, clients)
        costs |= _builds(place, rounds)
    jobs = writes.running_jobs(place)
    costs |= writes.logs(place, jobs)
    costs |= writes.states(place, jobs)
    costs |= writes.renewals(place, jobs)
    costs |= writes.resources(place)
    costs |= writes.deletions(place)
    costs |= writes.dead_jobs(place)
    of_fleet, seen = fleet.measure(place, watched=[job.id for job in jobs])
    costs |= of_fleet | _claims(place)
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


def _idle(place: Place, clients: int) -> tuple[Costs, list[tuple[str, int]]]:
    """Record what a real worker sends within a minute in which nothing happens."""
    time.sleep(server.FLUSH_S)  # the start is not what is asked
    log = place.data_dir / "embedded/servers/postgresql.log"
    start = log.stat().st_size
    before = server.read_usage(place)
    _log_statements(place, "all")
    time.sleep(MINUTE_S)
    _log_statements(place, "none")
    spent = server.read_usage(place) - before
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(start)
        kinds = _kinds(lines.read())
    theirs = _clients(place)
    return {
        "idle_transactions": spent.transactions,
        "idle_connections": server.connections(place),
        "connection_mb": server.private_mb(place),
        "redis_connections": len(theirs) - clients,
        "redis_commands": spent.redis_commands,
        "redis_client_kb": sum(int(c["tot-mem"]) for c in theirs) / len(theirs) / 1000,
    }, kinds


def _log_statements(place: Place, which: str) -> None:
    with autocommit(place.database) as connection:
        connection.execute(text(f"ALTER SYSTEM SET log_statement = '{which}'"))
        connection.execute(text("SELECT pg_reload_conf()"))


def _kinds(logged: str) -> list[tuple[str, int]]:
    """Count the statements by kind."""
    counts: Counter[str] = Counter()
    for statement in LOGGED.split(logged)[1:]:
        found = (kind for kind, telling in KINDS.items() if telling in statement)
        if not statement.startswith(NOT_THEIRS):
            counts[next(found, "other")] += 1
    return counts.most_common()


def _clients(place: Place) -> list[dict[str, str]]:
    redis: Redis = place.redis
    try:
        mine = redis.client_id()
        return [client for client in redis.client_list() if client["id"] != str(mine)]
    finally:
        redis.close()


def _builds(place: Place, rounds: int) -> Costs:
    """Echo builds through a real worker, warm; then with many rows, right after a checkpoint."""
    workspaces = make_workspaces(place, BUILDS)
    _play(place, workspaces, 1)
    time.sleep(server.FLUSH_S)
    size, before = _stored(place), server.read_usage(place)
    _play(place, workspaces, rounds)
    after = server.read_usage(place)
    busy = server.connections(place)
    time.sleep(server.FLUSH_S)
    spent, counted = after - before, server.read_usage(place) - before
    builds = rounds * BUILDS
    grown = _stored(place) - size
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
        "build_cold_wal_kb": _cold_wal(place, workspaces) / 1000 / BUILDS,
    }


def _cold_wal(place: Place, workspaces: Sequence[uuid.UUID]) -> float:
    factory = place.factory
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner)
    fill_jobs(place, STORED, owner=owner, template=template, pending=False)
    analyze(place)
    with autocommit(place.database) as connection:
        connection.execute(text("CHECKPOINT"))
    before = server.read_usage(place)
    _play(place, workspaces, 1)
    return (server.read_usage(place) - before).wal_bytes


def _play(place: Place, workspaces: Sequence[uuid.UUID], rounds: int) -> None:
    """Start and stop the workspaces in turn, one transaction and one doorbell for each build."""
    ring = ring_at(place.redis_url)
    for _ in range(rounds):
        for workspace in workspaces:
            with place.database.begin() as session:
                build = insert_build(
                    session, workspace_id=workspace, transition=_next_transition(session, workspace)
                )
            ring(build.queue)
        wait_until(
            lambda: not is_busy(place),
            "the ends of all builds",
            within_s=BENCH_DEADLINE_S,
            tick_s=0.25,
        )


def _next_transition(session: Session, workspace: uuid.UUID) -> Transition:
    query = "SELECT count(*) FROM workspace_builds WHERE workspace_id = :id"
    built = session.execute(text(query), {"id": workspace}).scalar_one()
    return Transition.STOP if built % 2 else Transition.START


def _stored(place: Place) -> float:
    query = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
    with place.database.begin() as session:
        return float(session.execute(text(query)).scalar_one())


def _claims(place: Place) -> Costs:
    started = time.perf_counter()
    _claim_concurrently(place)
    return {"claims": CLAIMERS * CLAIMS / (time.perf_counter() - started)}
