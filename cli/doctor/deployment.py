"""The deployment checks of ``provisionerd doctor``: workers, queues and leases."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from cli.doctor.encryption import check_encryption
from cli.doctor.result import CheckResult, ok, problem, warning
from db.engine import Database
from db.jobs.notices import CHANNEL
from db.reads.fleet import read_fleet
from db.reads.listener import notices_arrive
from db.reads.queues import QueueDepth, queue_depths
from db.reads.server import ConnectionFacts, connection_facts
from db.reads.workers import WorkerListing, list_workers
from db.sealing.keyring import Keyring
from db.texts import seconds_text
from worker.process.connections import build_connections, chore_connections

# Every worker sweeps every few seconds: a lease that expired this long ago is swept by none.
UNREAPED_AFTER_S = 60.0


def check_deployment(database: Database, keyring: Keyring) -> Iterator[CheckResult]:
    """Check a migrated database: its workers, the connections that they need, and lost builds."""
    with database.begin() as session:
        workers = list_workers(session)
        connections = connection_facts(session)
    yield from check_workers(workers)
    yield connections_result(workers, connections)
    yield from _check_queues(database)
    yield _check_leases(database)
    yield check_notices(database)
    yield check_encryption(database, keyring)


def check_workers(workers: list[WorkerListing]) -> Iterator[CheckResult]:
    """Check that there are live workers, that none was lost, and that all have one version."""
    yield from (_lost_result(worker) for worker in workers if worker.is_stale)
    live = _live(workers)
    if not live:
        yield warning(
            "workers",
            "there is no live worker",
            "Start one with `provisionerd up` or `provisionerd worker`.",
        )
        return
    yield ok("workers", f"{len(live)} live")
    yield _versions_result(live)


def connections_result(workers: list[WorkerListing], facts: ConnectionFacts) -> CheckResult:
    """Compare the connections that live workers may keep open with PostgreSQL's limit."""
    name = "connections"
    needed = sum(
        build_connections(worker.slots) + chore_connections(worker.slots)
        for worker in _live(workers)
    )
    allowed = facts.allowed - facts.reserved
    found = (
        f"{facts.used} of {allowed} connections to PostgreSQL are open;"
        f" the workers keep up to {needed}"
    )
    if needed > allowed:
        return warning(
            name,
            found,
            f"Raise max_connections of PostgreSQL above {needed + facts.reserved},"
            " or lower PROVISIONERD_CONCURRENCY.",
        )
    return ok(name, found)


def check_notices(database: Database) -> CheckResult:
    """Check that PostgreSQL's notices arrive; through some poolers they do not."""
    name = "notices"
    if notices_arrive(database, CHANNEL):
        return ok(name, "PostgreSQL's notices arrive, so followers of logs are woken")
    return warning(
        name,
        "PostgreSQL's notices do not arrive here, so followers of logs and events poll",
        "Give `provisionerd serve` a PROVISIONERD_DATABASE_URL without a pooler, or with one in"
        " session mode.",
    )


def _live(workers: list[WorkerListing]) -> list[WorkerListing]:
    return [worker for worker in workers if worker.status != "offline"]


def _lost_result(worker: WorkerListing) -> CheckResult:
    return warning(
        "workers",
        f"{worker.name} vanished {seconds_text(worker.last_seen_s)} ago without signing off",
        f"Find out on host {worker.hostname or 'unknown'} why it ended; start it again.",
    )


def _versions_result(live: list[WorkerListing]) -> CheckResult:
    ours = version("provisionerd")
    others = sorted({worker.version for worker in live} - {ours})
    if others:
        return warning(
            "versions",
            f"this is version {ours}, but there are workers of version {', '.join(others)}",
            "This is normal during an upgrade; otherwise run the same version everywhere.",
        )
    return ok("versions", f"all workers have version {ours}, like this program")


def _check_queues(database: Database) -> Iterator[CheckResult]:
    with database.begin() as session:
        depths = queue_depths(session)
    stuck = [_stuck_result(depth) for depth in depths if _is_stuck(depth)]
    yield from stuck
    if not stuck:
        waiting = sum(depth.depth for depth in depths)
        yield ok("queues", f"{waiting} jobs wait, all for live workers")


def _is_stuck(depth: QueueDepth) -> bool:
    return depth.depth > 0 and depth.workers == 0


def _stuck_result(depth: QueueDepth) -> CheckResult:
    return problem(
        "queues",
        f"{depth.depth} jobs have waited in {depth.queue} for up to"
        f" {seconds_text(depth.oldest_s)}, and no live worker serves it",
        "Start a worker that has the jobs' tags (`provisionerd queue explain JOB` shows them).",
    )


def _check_leases(database: Database) -> CheckResult:
    with database.begin() as session:
        least_s = read_fleet(session).least_lease_s
    if least_s is None or least_s > -UNREAPED_AFTER_S:
        return ok("leases", "there are no lost builds")
    return problem(
        "leases",
        f"a build's lease expired {seconds_text(-least_s)} ago, and no worker reaped its job",
        "Start a worker: every worker sweeps for lost builds. If one runs, search its log for"
        " `chore.failed`.",
    )
