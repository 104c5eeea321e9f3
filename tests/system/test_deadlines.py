"""Nothing takes for ever: stages, waiting in a queue, and a consumer that has stalled."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from db.reads.builds import get_builds
from db.schema.enums import BuildReason, FailureReason, JobStatus, Transition
from db.schema.tables import Autostop
from tests.harness.cluster import Cluster
from tests.harness.terraform import MoodyTerraform
from tests.harness.waiting import wait_until
from worker.process.watchdog import EXIT_STATUS

NOBODY = {"served": "by-nobody"}


@pytest.fixture(scope="module")
def terraform(shared: Cluster) -> MoodyTerraform:
    """What the module's worker takes for Terraform; it has little patience."""
    made = shared.moody_terraform()
    shared.start_worker(
        terraform_binary=made.path,
        init_timeout_seconds=4,
        plan_timeout_seconds=4,
        apply_timeout_seconds=4,
        interrupt_grace_seconds=3,
        pending_limit_seconds=8,
    )
    return made


@pytest.mark.parametrize("command", ["init", "plan", "apply"])
def test_a_stage_that_takes_too_long_fails_the_build(
    shared: Cluster, terraform: MoodyTerraform, command: str
) -> None:
    with terraform.hanging(command):
        row = shared.build(shared.workspace("plain"))

    assert (row["status"], row["failure_reason"]) == (JobStatus.FAILED, FailureReason.DEADLINE)
    assert f"terraform {command} was stopped because it took longer than" in row["error"]


def test_a_build_that_nobody_may_claim_fails_after_the_pending_limit(
    shared: Cluster, terraform: MoodyTerraform
) -> None:
    row = shared.build(shared.workspace("plain", tags=NOBODY))

    assert row["failure_reason"] == FailureReason.PENDING_LIMIT
    assert "queue explain" in row["error"]


def test_a_worker_stops_a_workspace_at_its_deadline(
    shared: Cluster, terraform: MoodyTerraform
) -> None:
    workspace_id = shared.workspace("plain")
    assert shared.build(workspace_id)["status"] == JobStatus.SUCCEEDED
    with shared.database.begin() as session:
        session.add(Autostop(workspace_id=workspace_id, due_at=datetime.now(UTC)))

    def is_stopped() -> bool:
        with shared.database.begin() as session:
            build, *_ = get_builds(session, workspace_id)
        found = (build.transition, build.reason, build.job.status)
        return found == (Transition.STOP, BuildReason.AUTOSTOP, JobStatus.SUCCEEDED)

    wait_until(is_stopped, "the stop")


def test_a_worker_that_hears_no_doorbell_ends_for_its_supervisor(shared: Cluster) -> None:
    worker = shared.start_worker("stalled", tags="kind=stalled", watchdog_seconds=3)
    unheard = {"kind": "unheard"}
    with shared.database.begin() as session:
        # Its row says that it serves a queue whose doorbells its consumer does not take.
        session.execute(
            text("UPDATE provisioner_daemons SET queues = queues || :queue WHERE name = :name"),
            {"queue": [shared.queue_of(unheard)], "name": "stalled"},
        )

    job_id = shared.enqueue(shared.workspace("plain", tags=unheard))

    wait_until(worker.has_ended, "the worker's end")
    assert (worker.process.returncode, shared.status(job_id)) == (EXIT_STATUS, JobStatus.PENDING)
