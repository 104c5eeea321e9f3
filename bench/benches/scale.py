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

from bench import fleet, server, writes
from bench.benches.claim import CLAIMERS, CLAIMS, _claim_concurrently
from bench.benches.throughput import BUILDS, make_workspaces, unfinished
from bench.costs import described
from bench.measure import Result, quantile
from bench.place import Place, wait_until
from bench.rows import analyze, fill_jobs
from db.enums import Transition
from db.progress import build_progress, job_logs
from db.transitions import ClaimedJob
from db.workspaces import insert_build
from worker.app import app, configure_broker
from worker.doorbell import ring_with

SLOTS = 8
MINUTE_S = 60.0
ROUNDS = 4  # of builds
STORED = 100_000  # builds, when the table is to be large
WAITING = 10_000
FLEET = 500  # simulated workers
FEW, MANY = 10, 1_000  # workers, to tell what grows with their number
TURNS = 2_000  # of each chore

# What is telling of each statement of an idle worker, as the log of PostgreSQL shows it.
KINDS: Mapping[str, str] = {
    "heartbeat": "SET last_seen_at",
    "overdue jobs": "AS transition\n\t            FROM provisioner_jobs AS job",
    "lost jobs": "WHERE leases.expires_at",
    "queue depths": "WITH waiting",
    "watchdog": "AS claimable",
    "pruner": "SELECT id\n\t            FROM provisioner_daemons",
}
LOGGED = re.compile(r"LOG:  (?:statement|execute [^:]+): ")

Costs = dict[str, float]


def run(place: Place, rounds: int = ROUNDS) -> list[Result]:
    configure_broker(app, place.redis_url)
    costs: Costs = {}
    clients = len(_clients(place))
    quiet = _redis_alone(place)
    with place.worker(concurrency=SLOTS):
        idle, kinds = _idle(place, clients, quiet)
        costs |= idle
        costs |= _builds(place, rounds)
    jobs = writes.running_jobs(place)
    costs |= writes.logs(place, jobs)
    costs |= writes.states(place, jobs)
    costs |= writes.renewals(place, jobs)
    costs |= writes.resources(place)
    few, _ = _chores(place, FEW)
    simulated = _minute_of_fleet(place)
    many, wal_kb = _chores(place, MANY)
    costs |= _looks(place, jobs)
    costs |= writes.deletions(place)
    costs |= writes.dead_jobs(place)
    growth = max(0.0, many - few) * 1000 / (MANY - FEW)
    costs |= {"idle_ms": few, "idle_growth_ms": growth, "idle_wal_kb": wal_kb}
    costs |= _with_backlog(place, many)
    units = described()
    return [
        *(_result(units[name][0], units[name][1], costs[name]) for name in units),
        *simulated,
        *(_result(f"statements of an idle worker: {name}", "1/min", n) for name, n in kinds),
    ]


def _result(what: str, unit: str, figure: float) -> Result:
    return Result(bench="scale", what=what, unit=unit, ours=figure)


def _idle(place: Place, clients: int, quiet_s: float) -> tuple[Costs, list[tuple[str, int]]]:
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
        "redis_ms": max(0.0, spent.redis_processor_s - quiet_s) * 1000,
        "redis_client_kb": sum(int(c["tot-mem"]) for c in theirs) / len(theirs) / 1000,
    }, kinds


def _redis_alone(place: Place) -> float:
    """Return the processor time that Redis takes in a minute without any worker."""
    before = server.read_usage(place)
    time.sleep(server.FLUSH_S)
    spent = server.read_usage(place) - before
    return spent.redis_processor_s * MINUTE_S / server.FLUSH_S


def _log_statements(place: Place, which: str) -> None:
    with place.database.autocommit() as connection:
        connection.execute(text(f"ALTER SYSTEM SET log_statement = '{which}'"))
        connection.execute(text("SELECT pg_reload_conf()"))


def _kinds(logged: str) -> list[tuple[str, int]]:
    """Count the statements by kind; BEGIN and COMMIT are no statements of ours."""
    counts: Counter[str] = Counter()
    for statement in LOGGED.split(logged)[1:]:
        found = (kind for kind, telling in KINDS.items() if telling in statement)
        if not statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
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
    with place.database.autocommit() as connection:
        connection.execute(text("CHECKPOINT"))
    before = server.read_usage(place)
    _play(place, workspaces, 1)
    return (server.read_usage(place) - before).wal_bytes


def _play(place: Place, workspaces: Sequence[uuid.UUID], rounds: int) -> None:
    """Start and stop the workspaces in turn, one transaction and one doorbell for each build."""
    ring = ring_with(app)
    for _ in range(rounds):
        for workspace in workspaces:
            with place.database.begin() as session:
                build = insert_build(
                    session, workspace_id=workspace, transition=_next_transition(session, workspace)
                )
            ring(build.queue)
        wait_until(lambda: unfinished(place) == 0, tick_s=0.25)


def _next_transition(session, workspace: uuid.UUID) -> Transition:
    query = "SELECT count(*) FROM workspace_builds WHERE workspace_id = :id"
    built = session.execute(text(query), {"id": workspace}).scalar_one()
    return Transition.STOP if built % 2 else Transition.START


def _stored(place: Place) -> float:
    query = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
    with place.database.begin() as session:
        return float(session.execute(text(query)).scalar_one())


def _looks(place: Place, jobs: Sequence[ClaimedJob]) -> Costs:
    """A watcher's look at a running build, with no new line, while there are many workers."""

    def look(job_id: uuid.UUID) -> None:
        with place.database.begin() as session:
            build_progress(session, job_id)
            job_logs(session, job_id=job_id, after=2**62)

    before = server.read_usage(place)
    fleet.play([("look", look, jobs[index % SLOTS].id) for index in range(TURNS)])
    return {"look_ms": (server.read_usage(place) - before).processor_s * 1000 / TURNS}


def _minute_of_fleet(place: Place) -> list[Result]:
    """Play what 500 idle workers do within a minute, as fast as it goes."""
    turns = fleet.minute(fleet.chores(place), _registered(place, FLEET))
    before = server.read_usage(place)
    started = time.perf_counter()
    times = fleet.play(turns)
    took = time.perf_counter() - started
    spent = (server.read_usage(place) - before).processor_s
    return [
        _result(f"{FLEET} idle workers: PostgreSQL", "% of a core", spent / MINUTE_S * 100),
        _result(f"{FLEET} idle workers: a minute of them, played in", "s", took),
        *(
            _result(f"{FLEET} idle workers: {name}, {title}", "ms", quantile(each, share) * 1000)
            for name, each in times.items()
            for title, share in (("p50", 0.5), ("p99", 0.99))
        ),
    ]


def _chores(place: Place, count: int) -> tuple[float, float]:
    """Return what a minute of one of ``count`` workers takes: milliseconds, and kB of WAL."""
    workers = _registered(place, count)
    milliseconds = wal_kb = 0.0
    for name, chore in fleet.chores(place).items():
        turns = [(name, chore.action, workers[index % count]) for index in range(TURNS)]
        before = server.read_usage(place)
        fleet.play(turns)
        spent = server.read_usage(place) - before
        milliseconds += spent.processor_s * 1000 / TURNS * chore.per_minute
        wal_kb += spent.wal_bytes / 1000 / TURNS * chore.per_minute
    return milliseconds, wal_kb


def _registered(place: Place, count: int) -> list[uuid.UUID]:
    workers = fleet.register(place, count)
    analyze(place)
    return workers


def _with_backlog(place: Place, without: float) -> Costs:
    """Let many jobs wait: what that adds to a worker's minute, and how fast they are claimed."""
    organization = place.factory.organization()
    owner = place.factory.user(organization=organization)
    template = place.factory.template(organization=organization, created_by=owner)
    fill_jobs(place, WAITING, owner=owner, template=template, pending=True)
    waiting, _ = _chores(place, MANY)
    started = time.perf_counter()
    _claim_concurrently(place)
    return {
        "idle_backlog_ms": max(0.0, waiting - without) * 1000 / WAITING,
        "claims": CLAIMERS * CLAIMS / (time.perf_counter() - started),
    }
