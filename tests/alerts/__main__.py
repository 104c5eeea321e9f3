"""Provoke every alert that can be provoked in minutes, and print a table."""

from __future__ import annotations

import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from db.jobs.transitions import cancel_job
from tests.alerts import api
from tests.alerts.scene import Scene, prepared_scene
from tests.harness.waiting import NeverHappenedError, wait_until

FIRES_WITHIN_S = 120.0
RESOLVED_WITHIN_S = 180.0
HISTORY_S = 40.0
"""The surge of refusals compares with what was before its own window, so that has to exist."""

DEAR = {"apply": {"resources": [{"type": "echo_disk", "name": "home", "daily_cost": 5}]}}

Provoke = Callable[[Scene], AbstractContextManager[None]]
"""Harms the scene, and heals it at the end of the block."""


@dataclass(frozen=True)
class Case:
    """One harm, and the alerts that it makes fire."""

    provoke: Provoke
    how: str
    names: Sequence[str]  #: of the alerts, without the prefix that all of them have

    @property
    def alerts(self) -> Sequence[str]:
        return [f"Provisionerd{name}" for name in self.names]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one alert: seconds, or None for never."""

    alert: str
    how: str
    fired_s: float | None
    resolved_s: float | None


NOT_PROVOKED: Mapping[str, str] = {
    "ProvisionerdBuildsSlow": "it compares the median of an hour with that of seven days",
    "ProvisionerdApiSlow": "it needs many requests that take longer than a second",
}


@contextmanager
def waiting_job(scene: Scene) -> Iterator[None]:
    """A job that nobody can take, as if it had been enqueued 25 minutes ago."""
    workspace = scene.cluster.factory.any_workspace(tags={"kind": "nobody"})
    build = scene.cluster.factory.build(workspace)
    with scene.database.begin() as session:
        aged = "UPDATE provisioner_jobs SET created_at = now() - interval '25 minutes'"
        session.execute(text(f"{aged} WHERE id = :id"), {"id": build.job_id})
    yield
    with scene.database.begin() as session:
        cancel_job(session, job_id=build.job_id)


def builds(
    script: Mapping[str, Any], *, count: int, tags: Mapping[str, str] | None = None
) -> Provoke:
    """Return what runs so many builds of a script."""

    @contextmanager
    def provoke(scene: Scene) -> Iterator[None]:
        for _ in range(count):
            enqueue(scene, scene.cluster.factory.any_workspace(script=script, tags=tags or {}).id)
        yield

    return provoke


@contextmanager
def refused_builds(scene: Scene) -> Iterator[None]:
    """Builds above their owners' budgets."""
    time.sleep(HISTORY_S)
    with builds(DEAR, count=12)(scene):
        yield


@contextmanager
def lost_doorbells(scene: Scene) -> Iterator[None]:
    """Doorbells that Redis loses, ten a second until the alert fires."""
    until = time.monotonic() + FIRES_WITHIN_S
    while not scene.monitor.fires("ProvisionerdDoorbellsLost") and time.monotonic() < until:
        scene.cluster.factory.build(scene.cluster.factory.any_workspace())
        time.sleep(0.1)
    yield


@contextmanager
def hung_redis(scene: Scene) -> Iterator[None]:
    """Redis is stopped while a build waits: its doorbell came to nobody."""
    scene.cluster.redis.send(signal.SIGSTOP)
    scene.cluster.factory.build(scene.cluster.factory.any_workspace())
    try:
        yield
    finally:
        scene.cluster.redis.send(signal.SIGCONT)


@contextmanager
def hung_database(scene: Scene) -> Iterator[None]:
    """PostgreSQL takes connections and does not answer."""
    scene.proxy.freeze()
    try:
        yield
    finally:
        scene.proxy.heal()


@contextmanager
def full_disk(scene: Scene) -> Iterator[None]:
    """The disk of PostgreSQL is full before an apply has its first state, which needs room."""
    gate = scene.cluster.directory / "gate"
    worker = scene.start_worker("full", tags="kind=full", faults=f"apply.begin=hold:{gate}")
    workspace_id = scene.cluster.workspace("bulky", tags={"kind": "full"}, seconds=30)
    job_id = enqueue(scene, workspace_id)
    wait_until(gate.with_name("gate.reached").exists, "the apply to begin")
    scene.fill_disk()
    gate.touch()
    try:
        yield
    finally:
        scene.clear_disk()
    scene.cluster.finish(job_id)
    worker.kill(with_terraform=True)
    scene.retire(worker)


@contextmanager
def lost_worker(scene: Scene) -> Iterator[None]:
    """A worker and its Terraform are killed in apply, and another one lives."""
    worker = scene.start_worker("lost", tags="kind=lost", host="lost")
    workspace_id = scene.cluster.workspace("slow", tags={"kind": "lost"}, create_seconds=60)
    enqueue(scene, workspace_id)
    scene.cluster.wait_for_machine(workspace_id)
    worker.kill(with_terraform=True)
    yield
    scene.retire(worker)


@contextmanager
def no_worker(scene: Scene) -> Iterator[None]:
    """All workers are killed while one of them is in apply."""
    workspace_id = scene.cluster.workspace("slow", create_seconds=60)
    enqueue(scene, workspace_id)
    scene.cluster.wait_for_machine(workspace_id)
    for worker in list(scene.cluster.workers):
        worker.kill(with_terraform=True)
        scene.retire(worker)
    yield
    scene.start_worker("next")


@contextmanager
def no_exporter(scene: Scene) -> Iterator[None]:
    """The exporter is stopped."""
    scene.stop_exporter()
    yield
    scene.start_exporter()


@contextmanager
def failing_version(scene: Scene) -> Iterator[None]:
    """A version whose starts have failed (its row says so)."""
    scene.cluster.factory.any_workspace()
    statement = """
        INSERT INTO circuits
            (template_version_id, reason, failures, openings, opened_at, open_until)
        SELECT id, 'terraform in plan', 5, 1, now(), now() + interval '1 hour'
        FROM template_versions WHERE template_id IS NOT NULL LIMIT 1
    """
    with scene.database.begin() as session:
        session.execute(text(statement))
    yield
    with scene.database.begin() as session:
        session.execute(text("DELETE FROM circuits"))


CHATTY = {"plan": {"logs": [{"output": "x" * 1000}], "repeat_logs": 5000}}
CASES = (
    Case(
        waiting_job,
        "a job with tags of no worker, enqueued 25 minutes ago (its row says so)",
        ("QueueOld", "QueueNearPendingLimit", "QueueWithoutWorker"),
    ),
    Case(refused_builds, "12 builds above the owners' budgets", ("QuotaFailuresSurge",)),
    Case(
        builds({"plan": {"error": "no capacity"}}, count=12),
        "12 builds whose plan fails",
        ("UntaggedFailures",),
    ),
    Case(
        builds({}, count=1, tags={"kind": "faulty"}),
        "a worker with a bug (PROVISIONERD_FAULTS)",
        ("InternalFailures",),
    ),
    Case(failing_version, "a version that keeps failing (its row says so)", ("TemplateFailing",)),
    Case(builds(CHATTY, count=1), "a build that writes 5 MB", ("LogLinesDropped",)),
    Case(lost_doorbells, "builds whose doorbells are lost", ("DoorbellsLost",)),
    Case(hung_redis, "Redis stopped (SIGSTOP), a build enqueued", ("DoorbellFailing",)),
    Case(hung_database, "PostgreSQL accepts and does not answer", ("DatabaseUnreachable",)),
    Case(full_disk, "PostgreSQL's disk full in an apply", ("CheckpointsFailing",)),
    Case(lost_worker, "a worker and its Terraform killed in apply", ("WorkerLost", "WorkerDown")),
    Case(no_worker, "all workers killed in apply", ("LeaseOld",)),
    Case(no_exporter, "the exporter stopped", ("ExporterDown",)),
    Case(
        api.refused_by_database,
        "PostgreSQL refuses the API's connections, and clients ask",
        ("ApiFailing", "ApiPolls"),
    ),
    Case(api.killed, "a process of the API killed", ("ApiDown",)),
    Case(api.late_event, "an event made 20 minutes ago (its row says so)", ("WebhooksLate",)),
)


def enqueue(scene: Scene, workspace_id: uuid.UUID) -> uuid.UUID:
    """Enqueue a start of the workspace, and ring."""
    return scene.cluster.enqueue(workspace_id)


def run_case(scene: Scene, case: Case) -> list[Row]:
    """Harm, wait until all alerts of the case fire, heal, and wait until none does."""
    begun = time.monotonic()
    with case.provoke(scene):
        await_all(scene, case, to=True, within_s=FIRES_WITHIN_S)
    healed = time.monotonic()
    await_all(scene, case, to=False, within_s=RESOLVED_WITHIN_S)
    return [
        Row(
            alert=alert,
            how=case.how,
            fired_s=scene.monitor.changed(alert, to=True, since=begun),
            resolved_s=scene.monitor.changed(alert, to=False, since=healed),
        )
        for alert in case.alerts
    ]


def await_all(scene: Scene, case: Case, *, to: bool, within_s: float) -> None:
    """Wait until all alerts of the case fire, or none; the table tells if that never comes."""
    try:
        wait_until(
            lambda: all(scene.monitor.fires(alert) is to for alert in case.alerts),
            f"{case.alerts} to be {to}",
            within_s=within_s,
            tick_s=0.2,
        )
    except NeverHappenedError as error:
        print(f"  {error}", flush=True)


def main() -> int:
    """Run all cases; return 1 when an alert did not fire or was not resolved."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = sys.argv[1:]
    rows: list[Row] = []
    with prepared_scene() as scene:
        scene.start_worker("main")
        scene.start_worker("faulty", tags="kind=faulty", faults="plan.begin=raise")
        for case in CASES:
            if wanted and not set(wanted) & set(case.alerts):
                continue
            if case.provoke is full_disk and scene.disk is None:
                print("skipped: a small disk needs root, to mount it:", *case.alerts)
                continue
            rows += run_case(scene, case)
            for row in rows[-len(case.alerts) :]:
                print(line_of(row), flush=True)
    for alert, reason in NOT_PROVOKED.items():
        print(f"| {alert} | not provoked: {reason} | | |")
    return int(any(row.fired_s is None or row.resolved_s is None for row in rows))


def line_of(row: Row) -> str:
    """Return the row of the table."""
    times = (row.fired_s, row.resolved_s)
    fired, resolved = (f"{value:.0f}" if value is not None else "never" for value in times)
    return f"| {row.alert} | {row.how} | {fired} | {resolved} |"


if __name__ == "__main__":
    print("| alert | how provoked | seconds to fire | resolved after, in seconds |")
    print("| --- | --- | --- | --- |", flush=True)
    sys.exit(main())
