"""A worker that is told to end: builds finish, or go back, or keep their state."""

from __future__ import annotations

import signal
import uuid
from typing import Any

import pytest

from db.schema.enums import FailureReason, JobStatus, Stage
from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker

LONG_S = 600


def _start(cluster: Cluster, **settings: Any) -> tuple[Worker, dict[str, str]]:
    """A worker with a queue of its own, so that no other takes its builds."""
    name = f"drained-{uuid.uuid4().hex[:6]}"
    return cluster.start_worker(name, tags=f"kind={name}", **settings), {"kind": name}


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, id="SIGTERM"),
        pytest.param(signal.SIGINT, id="SIGINT"),
    ],
)
def test_a_signal_lets_the_running_build_finish(shared: Cluster, number: signal.Signals) -> None:
    worker, tags = _start(shared, drain_seconds=LONG_S)
    job_id = shared.enqueue(shared.workspace("plain", tags=tags, seconds=3))
    shared.wait_for_stage(job_id, Stage.APPLY)

    worker.send(number)

    assert shared.finish(job_id) == [JobStatus.SUCCEEDED]
    wait_until(worker.has_ended, "the worker's end")
    assert worker.process.returncode == 0


def test_a_draining_worker_claims_nothing(shared: Cluster) -> None:
    worker, tags = _start(shared, drain_seconds=LONG_S)
    running = shared.enqueue(shared.workspace("plain", tags=tags, seconds=3))
    shared.wait_for_stage(running, Stage.APPLY)
    worker.send(signal.SIGTERM)
    wait_until(lambda: "worker.draining" in worker.said(), "the drain to begin")

    late = shared.enqueue(shared.workspace("plain", tags=tags))

    wait_until(worker.has_ended, "the worker's end")
    assert (shared.status(running), shared.status(late)) == (
        JobStatus.SUCCEEDED,
        JobStatus.PENDING,
    )


def test_a_build_before_apply_goes_back_when_the_drain_time_is_over(shared: Cluster) -> None:
    terraform = shared.moody_terraform("terraform-time")
    worker, tags = _start(shared, drain_seconds=1, terraform_binary=terraform.path)
    with terraform.hanging("plan"):
        job_id = shared.enqueue(shared.workspace("plain", tags=tags))
        terraform.wait()

        worker.send(signal.SIGTERM)

        wait_until(worker.has_ended, "the worker's end")
    row = shared.row(job_id)
    assert (row["status"], row["attempt"], row["drains"]) == (JobStatus.PENDING, 0, 1)


def test_a_second_signal_does_not_wait(shared: Cluster) -> None:
    terraform = shared.moody_terraform("terraform-twice")
    worker, tags = _start(shared, drain_seconds=LONG_S, terraform_binary=terraform.path)
    with terraform.hanging("plan"):
        job_id = shared.enqueue(shared.workspace("plain", tags=tags))
        terraform.wait()
        worker.send(signal.SIGTERM)
        wait_until(lambda: "worker.draining" in worker.said(), "the drain to begin")

        worker.send(signal.SIGTERM)

        wait_until(worker.has_ended, "the worker's end")
    assert shared.status(job_id) == JobStatus.PENDING


def test_a_build_in_apply_is_interrupted_and_keeps_its_state(shared: Cluster) -> None:
    worker, tags = _start(shared, drain_seconds=1)
    workspace_id = shared.workspace("slow", tags=tags, create_seconds=60)
    job_id = shared.enqueue(workspace_id)
    shared.wait_for_machine(workspace_id)

    worker.send(signal.SIGTERM)

    wait_until(worker.has_ended, "the worker's end")
    row = shared.row(job_id)
    assert (row["status"], row["failure_reason"]) == (JobStatus.FAILED, FailureReason.DRAINED)
    assert shared.machines() == shared.known_machines()


def test_nothing_runs_after_drained_workers(shared: Cluster) -> None:
    worker, tags = _start(shared, drain_seconds=1)
    workspace_id = shared.workspace("slow", tags=tags, create_seconds=60)
    shared.enqueue(workspace_id)
    shared.wait_for_machine(workspace_id)

    worker.send(signal.SIGTERM)

    wait_until(worker.has_ended, "the worker's end")
    assert (shared.directories(), shared.processes()) == ([], [])
