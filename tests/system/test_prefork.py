"""The prefork pool does what the threads pool does, by processes."""

from __future__ import annotations

import signal

import psutil
import pytest

from db.schema.enums import JobStatus, Stage
from tests.harness.cluster import Cluster
from tests.harness.terraform import MoodyTerraform
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker


@pytest.fixture(scope="module")
def terraform(shared: Cluster) -> MoodyTerraform:
    """What the worker takes for Terraform."""
    return shared.moody_terraform()


@pytest.fixture(scope="module")
def worker(shared: Cluster, terraform: MoodyTerraform) -> Worker:
    """A worker with two child processes."""
    return shared.start_worker(
        "prefork", pool="prefork", concurrency=2, terraform_binary=terraform.path
    )


def test_a_build_runs_in_a_child(shared: Cluster, worker: Worker) -> None:
    assert shared.build(shared.workspace("plain"))["status"] == JobStatus.SUCCEEDED


def test_a_build_in_a_child_is_canceled_in_apply(shared: Cluster, worker: Worker) -> None:
    assert shared.cancel_in_apply() is JobStatus.CANCELED


def test_a_build_whose_child_was_killed_runs_again(
    shared: Cluster, worker: Worker, terraform: MoodyTerraform
) -> None:
    with terraform.hanging("plan"):
        job_id = shared.enqueue(shared.workspace("plain"))
        terraform.wait()
    (launcher,) = [launcher for launcher in worker.launchers() if launcher.children()]

    psutil.Process(launcher.ppid()).kill()

    assert shared.finish(job_id) == [JobStatus.SUCCEEDED]
    assert shared.row(job_id)["attempt"] == 2


def test_children_finish_their_builds_when_the_worker_drains(shared: Cluster) -> None:
    worker = shared.start_worker("draining", pool="prefork", concurrency=2, tags="kind=drain")
    job_id = shared.enqueue(shared.workspace("plain", tags={"kind": "drain"}, seconds=3))
    shared.wait_for_stage(job_id, Stage.APPLY)

    worker.send(signal.SIGTERM)

    assert shared.finish(job_id) == [JobStatus.SUCCEEDED]
    wait_until(worker.has_ended, "the worker's end")
