"""The checks of ``provisionerd doctor`` that look at the deployment: workers, queues, leases."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from cli.doctor.result import CheckResult, fine, problem, warning
from cli.printing import seconds_text
from db.engine import Database
from db.reads.fleet import read_fleet
from db.reads.queues import queue_depths
from db.reads.server import ConnectionFacts, connection_facts
from db.reads.workers import WorkerListing, list_workers
from worker.process.connections import build_connections, chore_connections

# Every worker sweeps every few seconds: a lease that ran out so long ago is seen by none.
UNREAPED_AFTER_S = 60.0


def check_deployment(database: Database) -> Iterator[CheckResult]:
    """Check a migrated database: its workers, the connections that they need, and lost builds."""
    with database.begin() as session:
        workers = list_workers(session)
        connections = connection_facts(session)
    yield from check_workers(workers)
    yield connections_result(workers, connections)
    yield from _check_queues(database)
    yield _check_leases(database)


def check_workers(workers: list[WorkerListing]) -> Iterator[CheckResult]:
    """Check that workers are alive, none has vanished, and all are of one version."""
    for worker in workers:
        if worker.is_stale:
            yield warning(
                "workers",
                f"{worker.name} vanished {seconds_text(worker.last_seen_s)} ago"
                " without signing off",
                f"Look on host {worker.hostname or 'unknown'} why it ended; start it again.",
            )
    alive = [worker for worker in workers if worker.status != "offline"]
    if not alive:
        yield warning(
            "workers",
            "no worker is alive",
            "Start one with `provisionerd up` or `provisionerd worker`.",
        )
        return
    yield fine("workers", f"{len(alive)} alive")
    yield _versions_result(alive)


def connections_result(workers: list[WorkerListing], facts: ConnectionFacts) -> CheckResult:
    """Compare what the pools of the live workers may keep open with what PostgreSQL allows."""
    name, alive = "connections", [worker for worker in workers if worker.status != "offline"]
    needed = sum(
        build_connections(worker.slots) + chore_connections(worker.slots) for worker in alive
    )
    allowed = facts.allowed - facts.reserved
    found = (
        f"{facts.used} of {allowed} connections of PostgreSQL are open;"
        f" the workers keep up to {needed}"
    )
    if needed > allowed:
        return warning(
            name,
            found,
            f"Raise max_connections of PostgreSQL above {needed + facts.reserved},"
            " or lower PROVISIONERD_CONCURRENCY.",
        )
    return fine(name, found)


def _versions_result(alive: list[WorkerListing]) -> CheckResult:
    ours = version("provisionerd")
    others = sorted({worker.version for worker in alive} - {ours})
    if others:
        return warning(
            "versions",
            f"this is version {ours}, but there are workers of version {', '.join(others)}",
            "Fine during an upgrade; else bring all workers to one version.",
        )
    return fine("versions", f"all workers are of version {ours}, as this program")


def _check_queues(database: Database) -> Iterator[CheckResult]:
    with database.begin() as session:
        depths = queue_depths(session)
    stuck = [depth for depth in depths if depth.depth and not depth.workers]
    for depth in stuck:
        yield problem(
            "queues",
            f"{depth.depth} jobs wait in {depth.queue} for {seconds_text(depth.oldest_s)}"
            " and no live worker serves it",
            "Start a worker that has the jobs' tags (`provisionerd queue explain JOB` tells them).",
        )
    if not stuck:
        waiting = sum(depth.depth for depth in depths)
        yield fine("queues", f"{waiting} jobs wait, all for live workers")


def _check_leases(database: Database) -> CheckResult:
    with database.begin() as session:
        least_s = read_fleet(session).least_lease_s
    if least_s is None or least_s > -UNREAPED_AFTER_S:
        return fine("leases", "there are no lost builds")
    return problem(
        "leases",
        f"a build's lease ran out {seconds_text(-least_s)} ago and no worker took the build back",
        "Start a worker: each of them sweeps for lost builds. If one runs, look for"
        " `chore.failed` in its log.",
    )
