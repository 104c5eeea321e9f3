"""A worker of one version that is lost, and one of the other version that finds what it left."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from db.schema.enums import FailureReason, JobStatus, Transition
from tests.harness.cluster import DEPLOY
from tests.harness.releases import CURRENT, Version
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.upgrade.installation import OWNER, Installation, Service

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The version of the worker that is lost, and that of the one after it."""

    installation: Installation
    lost: Version
    next: Version

    def start(self, version: Version, **settings: Any) -> Worker:
        name = f"{version.name}-{uuid.uuid4().hex[:6]}"
        return self.installation.cluster.start_worker(name, version=version, **settings)


@pytest.fixture(scope="module")
def installation(installation: Installation) -> Installation:
    """The released version on the schema of this one."""
    installation.migrate()
    return installation


@pytest.fixture(params=["upgrade", "rollback"])
def pair(request: pytest.FixtureRequest, installation: Installation) -> Iterator[Pair]:
    """Both ways; its workers have ended after the test."""
    versions = (installation.release, CURRENT)
    lost, following = versions if request.param == "upgrade" else versions[::-1]
    yield Pair(installation=installation, lost=lost, next=following)
    for worker in installation.cluster.workers:
        worker.process.terminate()
        wait_until(worker.has_ended, f"the end of {worker.name}")
        assert "Traceback" not in worker.said()


@pytest.fixture(scope="module")
def service(installation: Installation) -> Service:
    """A service of the released version."""
    return installation.service(installation.release)


def test_what_a_killed_worker_applied_is_kept_and_can_be_deleted(
    pair: Pair, service: Service
) -> None:
    cluster = pair.installation.cluster
    worker = pair.start(pair.lost)
    workspace_id, job_id = pair.installation.create("slow", create_seconds=20)
    cluster.wait_for_machine(workspace_id)

    worker.kill()
    pair.start(pair.next)

    cluster.finish(job_id)
    cluster.settle()
    row = cluster.row(job_id)
    assert (row["status"], row["failure_reason"]) == (JobStatus.FAILED, FailureReason.WORKER_LOST)
    assert cluster.machines(workspace_id) == cluster.known_machines(workspace_id) != set()
    deleted = service.enqueue(workspace_id, Transition.DELETE)
    assert cluster.finish(deleted) == [JobStatus.SUCCEEDED]
    assert cluster.machines(workspace_id) == set()


def test_an_import_waits_for_a_worker_that_can_run_it(installation: Installation) -> None:
    cluster = installation.cluster
    old = cluster.start_worker("knows-no-imports", version=installation.release)
    pushed = installation.run(
        CURRENT,
        *("template", "push", str(DEPLOY / "templates" / "machine"), "--name=imported"),
        *(f"--author={OWNER}", f"--variable=ledger_dir={cluster.ledger}"),
        *("--detach", "--output=json"),
    )
    new = cluster.start_worker("knows-imports", version=CURRENT)
    job_id = uuid.UUID(json.loads(pushed)["job_id"])
    try:
        assert cluster.finish(job_id) == [JobStatus.SUCCEEDED]
    finally:
        for worker in (old, new):
            worker.process.terminate()
            wait_until(worker.has_ended, f"the end of {worker.name}")
    row = cluster.row(job_id)
    assert (row["worker"], row["attempt"]) == ("knows-imports", 1)


def test_a_build_that_a_killed_worker_planned_runs_again(pair: Pair) -> None:
    cluster = pair.installation.cluster
    terraform = cluster.moody_terraform(f"terraform-{uuid.uuid4().hex[:6]}")
    worker = pair.start(pair.lost, terraform_binary=terraform.path)
    with terraform.hanging("plan"):
        _, job_id = pair.installation.create("machine")
        terraform.wait()
        worker.kill(with_terraform=True)
    pair.start(pair.next)

    assert cluster.finish(job_id) == [JobStatus.SUCCEEDED]
    assert cluster.row(job_id)["attempt"] == 2


def test_a_build_that_a_drained_worker_put_back_runs_again(pair: Pair) -> None:
    cluster = pair.installation.cluster
    terraform = cluster.moody_terraform(f"terraform-{uuid.uuid4().hex[:6]}")
    worker = pair.start(pair.lost, terraform_binary=terraform.path, drain_seconds=1)
    with terraform.hanging("plan"):
        _, job_id = pair.installation.create("machine")
        terraform.wait()
        worker.process.terminate()
        wait_until(worker.has_ended, "the worker's end")
    assert cluster.status(job_id) == JobStatus.PENDING

    pair.start(pair.next)

    assert cluster.finish(job_id) == [JobStatus.SUCCEEDED]


def test_a_build_is_canceled_by_a_command_of_the_other_version(pair: Pair) -> None:
    cluster = pair.installation.cluster
    pair.start(pair.lost)
    workspace_id, job_id = pair.installation.create("slow", create_seconds=60)
    cluster.wait_for_machine(workspace_id)

    pair.installation.run(pair.next, "jobs", "cancel", str(job_id))

    assert cluster.finish(job_id) == [JobStatus.CANCELED]
    assert cluster.machines(workspace_id) == cluster.known_machines(workspace_id)
