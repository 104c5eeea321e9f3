"""A rolling upgrade, and the way back, while builds run all the time."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from db.schema.enums import JobStatus, Stage, Transition
from tests.harness.releases import CURRENT, Version
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.upgrade.installation import Installation, Service

pytestmark = pytest.mark.timeout(600)

WORKSPACES = 4
ENOUGH = 3  #: builds of a step that each of its workers has to run
STEP_S = 240
HELD_S = 15  #: how long an apply takes that the migration meets


@dataclass(kw_only=True)
class Rolling:
    """Workspaces that are started and stopped again and again, whatever happens to the workers."""

    installation: Installation
    workspaces: dict[uuid.UUID, uuid.UUID] = field(default_factory=dict)  #: with the newest job
    jobs: dict[uuid.UUID, str] = field(default_factory=dict)  #: all of them, with their steps
    stages: list[str] = field(default_factory=list)  #: of a build, before and after the migration

    def take(self, step: str, service: Service, workers: Sequence[str]) -> None:
        """Go on until each of the workers has run enough builds of this step."""

        def is_done() -> bool:
            self._enqueue_next(step, service)
            ran = [row["worker"] for row in self.rows(step) if row["completed_at"]]
            return all(ran.count(worker) >= ENOUGH for worker in workers)

        wait_until(is_done, f"{workers} to run builds: {step}", within_s=STEP_S, tick_s=0.1)

    def rows(self, step: str | None = None) -> list[Mapping[str, Any]]:
        cluster = self.installation.cluster
        return [cluster.row(job) for job, of in self.jobs.items() if step in {None, of}]

    def migrate(self) -> None:
        """Migrate while a build is in its apply."""
        workspace_id, job_id = self.installation.create("slow", create_seconds=HELD_S)
        self.installation.cluster.wait_for_machine(workspace_id)
        self.stages.append(self.installation.cluster.row(job_id)["stage"])
        self.installation.migrate()
        self.stages.append(self.installation.cluster.row(job_id)["stage"])
        self.installation.cluster.finish(job_id)
        self.workspaces[workspace_id], self.jobs[job_id] = job_id, "held"

    def end(self, service: Service) -> None:
        """Delete all workspaces."""
        cluster = self.installation.cluster
        cluster.finish(*self.workspaces.values())
        for workspace_id in self.workspaces:
            self._enqueue("end", service, workspace_id, Transition.DELETE)
        cluster.finish(*self.workspaces.values())

    def _enqueue_next(self, step: str, service: Service) -> None:
        for workspace_id, job_id in self.workspaces.items():
            row = self.installation.cluster.row(job_id)
            if row["completed_at"]:
                is_started = row["transition"] == Transition.START
                next_one = Transition.STOP if is_started else Transition.START
                self._enqueue(step, service, workspace_id, next_one)

    def _enqueue(
        self, step: str, service: Service, workspace_id: uuid.UUID, transition: Transition
    ) -> None:
        job_id = service.enqueue(workspace_id, transition)
        self.workspaces[workspace_id] = job_id
        self.jobs[job_id] = step


@pytest.fixture(scope="module")
def rolled(installation: Installation) -> Rolling:
    """Everything of the order that docs/operations.md tells, and the workers' way back."""
    rolling = Rolling(installation=installation)
    released = installation.service(installation.release)
    first = _worker(installation, "released-1", installation.release)
    for _ in range(WORKSPACES):
        workspace_id, job_id = installation.create("machine")
        rolling.workspaces[workspace_id], rolling.jobs[job_id] = job_id, "before"
    rolling.take("before", released, ["released-1"])

    rolling.migrate()
    rolling.take("migrated", released, ["released-1"])

    second = _worker(installation, "current-1", CURRENT)
    rolling.take("workers mixed", released, ["released-1", "current-1"])

    current = installation.service(CURRENT)
    rolling.take("services replaced", current, ["released-1", "current-1"])

    # A draining 0.1.0 fails builds that start a program just then, so they end first.
    installation.cluster.finish(*rolling.workspaces.values())
    _drain(first)
    rolling.take("workers replaced", current, ["current-1"])

    _worker(installation, "released-2", installation.release)
    _drain(second)
    rolling.take("workers rolled back", current, ["released-2"])

    rolling.end(current)
    return rolling


def _worker(installation: Installation, name: str, version: Version) -> Worker:
    return installation.cluster.start_worker(name, version=version, concurrency=2)


def _drain(worker: Worker) -> None:
    worker.process.terminate()
    wait_until(worker.has_ended, f"the end of {worker.name}")


def test_the_migration_meets_a_build_in_apply(rolled: Rolling) -> None:
    assert rolled.stages == [Stage.APPLY, Stage.APPLY]


def test_every_build_succeeds_at_its_first_attempt(rolled: Rolling) -> None:
    facts = ("worker", "transition", "stage", "status", "attempt", "error", "started_at")
    others = [
        {fact: row[fact] for fact in facts}
        for row in rolled.rows()
        if (row["status"], row["attempt"]) != (JobStatus.SUCCEEDED, 1)
    ]
    assert others == []


def test_no_build_is_left(rolled: Rolling) -> None:
    assert rolled.installation.cluster.remains() == {}


def test_no_machine_is_left(rolled: Rolling) -> None:
    assert rolled.installation.cluster.machines() == set()


def test_nobody_logs_a_traceback(rolled: Rolling) -> None:
    logs = rolled.installation.logs()
    assert {name: text for name, text in logs.items() if "Traceback" in text} == {}
