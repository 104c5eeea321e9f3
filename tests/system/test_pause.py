"""A worker that sleeps past its lease and wakes up: it changes nothing that is not its own."""

from __future__ import annotations

import signal
import uuid

import pytest

from db.catalog.audit import Actor
from db.catalog.states import adopt_state
from db.schema.enums import JobStatus, Transition
from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker

pytestmark = pytest.mark.timeout(180)


def take_over_from_a_sleeper(shared: Cluster) -> tuple[Worker, uuid.UUID]:
    """Pause a worker in a plan, let another one finish its build, and return both."""
    terraform = shared.moody_terraform()
    sleeper = shared.start_worker(
        "plan-sleeper", terraform_binary=terraform.path, tags="kind=plan", host="first"
    )
    with terraform.hanging("plan"):
        job_id = shared.enqueue(shared.workspace("plain", tags={"kind": "plan"}))
        terraform.wait()
        sleeper.send(signal.SIGSTOP)
    shared.start_worker("plan-second", tags="kind=plan", host="second")
    shared.finish(job_id)
    return sleeper, job_id


def test_a_build_that_was_taken_over_before_apply_is_not_touched_again(shared: Cluster) -> None:
    sleeper, job_id = take_over_from_a_sleeper(shared)
    row, log = shared.row(job_id), shared.log_of(job_id)

    sleeper.send(signal.SIGCONT)

    wait_until(lambda: not shared.directories(), "the sleeper to give its build up")
    assert row["status"] == JobStatus.SUCCEEDED
    assert (shared.row(job_id), shared.log_of(job_id)) == (row, log)


def put_to_sleep_in_apply(shared: Cluster, kind: str) -> tuple[Worker, uuid.UUID, uuid.UUID]:
    """Pause a worker when it has made a machine, and start another; return workspace and job too.

    Terraform goes on by itself and makes what the last checkpoint does not know.
    """
    sleeper = shared.start_worker(f"{kind}-sleeper", tags=f"kind={kind}", host="first")
    workspace_id = shared.workspace("slow", tags={"kind": kind}, create_seconds=3)
    job_id = shared.enqueue(workspace_id)
    shared.wait_for_machine(workspace_id)
    sleeper.send(signal.SIGSTOP)
    shared.start_worker(f"{kind}-second", tags=f"kind={kind}", host="second")
    return sleeper, workspace_id, job_id


def test_the_newer_state_of_a_sleeper_is_stored_when_no_later_build_has_begun(
    shared: Cluster,
) -> None:
    sleeper, workspace_id, job_id = put_to_sleep_in_apply(shared, "state")
    assert shared.finish(job_id) == [JobStatus.FAILED]
    wait_until(lambda: not sleeper.terraforms(), "Terraform to finish")

    sleeper.send(signal.SIGCONT)

    shared.settle()
    assert len(shared.known_machines(workspace_id)) == 5
    assert shared.machines() == shared.known_machines()
    assert shared.build(workspace_id, Transition.DELETE)["status"] == JobStatus.SUCCEEDED


def test_the_state_of_a_sleeper_is_put_aside_when_a_later_build_has_begun(
    shared: Cluster,
) -> None:
    sleeper, workspace_id, job_id = put_to_sleep_in_apply(shared, "late")
    shared.finish(job_id)
    later = shared.build(workspace_id, Transition.STOP)

    sleeper.send(signal.SIGCONT)

    shared.settle()
    (aside,) = sleeper.work_dir.glob(f"orphaned-states/{job_id}*")
    assert aside.name == f"{job_id}.tfstate"
    assert shared.row(later["id"])["provisioner_state"] == later["provisioner_state"]


def test_a_state_that_was_put_aside_can_be_adopted_and_its_machines_destroyed(
    shared: Cluster,
) -> None:
    sleeper, workspace_id, job_id = put_to_sleep_in_apply(shared, "adopt")
    shared.finish(job_id)
    shared.build(workspace_id, Transition.STOP)
    sleeper.send(signal.SIGCONT)
    shared.settle()
    (aside,) = sleeper.work_dir.glob(f"orphaned-states/{job_id}*")
    assert shared.machines(workspace_id) - shared.known_machines(workspace_id)

    with shared.database.begin() as session:
        adopt_state(
            session,
            job_id=job_id,
            data=aside.read_bytes(),
            actor=Actor(username="operator"),
            force=True,
        )

    assert shared.build(workspace_id, Transition.DELETE)["status"] == JobStatus.SUCCEEDED
    assert shared.machines(workspace_id) == set()
