"""A cancel ends a build at every stage, and the row says truthfully what happened."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from db.schema.enums import FailureReason, JobStatus, Stage
from tests.harness.cluster import Cluster
from tests.harness.terraform import MoodyTerraform

NOBODY = {"served": "by-nobody"}


@pytest.fixture(scope="module")
def terraform(shared: Cluster) -> MoodyTerraform:
    """What the module's only worker takes for Terraform."""
    made = shared.moody_terraform()
    shared.start_worker(terraform_binary=made.path, interrupt_grace_seconds=3)
    return made


@pytest.fixture
def locked_account(shared: Cluster, terraform: MoodyTerraform) -> Iterator[None]:
    """Somebody holds the owner's quota account while the test runs."""
    with shared.database.begin() as session:
        session.execute(
            text("""
                INSERT INTO quota_accounts (organization_id, owner_id)
                VALUES (:organization_id, :owner_id)
                ON CONFLICT DO NOTHING
            """),
            {"organization_id": shared.organization.id, "owner_id": shared.owner.id},
        )
    with shared.database.begin() as session:
        session.execute(text("SELECT 1 FROM quota_accounts FOR UPDATE"))
        yield


def test_a_pending_build_is_canceled_at_once(shared: Cluster) -> None:
    job_id = shared.enqueue(shared.workspace("plain", tags=NOBODY))

    shared.cancel(job_id)

    assert shared.status(job_id) == JobStatus.CANCELED


@pytest.mark.parametrize("command", ["init", "plan"])
def test_a_build_is_canceled_while_terraform_works_before_apply(
    shared: Cluster, terraform: MoodyTerraform, command: str
) -> None:
    with terraform.hanging(command):
        job_id = shared.enqueue(shared.workspace("plain"))
        terraform.wait()
        shared.cancel(job_id)

        assert shared.finish(job_id) == [JobStatus.CANCELED]


@pytest.fixture
def canceled_in_quota(shared: Cluster, locked_account: None) -> uuid.UUID:
    """The job of a build that was canceled while it waited for the quota account."""
    job_id = shared.enqueue(shared.workspace("plain"))
    shared.wait_for_stage(job_id, Stage.COMMIT_QUOTA)
    shared.cancel(job_id)
    return job_id


def test_a_build_is_canceled_while_it_waits_for_the_quota_account(
    shared: Cluster, canceled_in_quota: uuid.UUID
) -> None:
    assert shared.finish(canceled_in_quota) == [JobStatus.CANCELED]


def test_a_build_that_waited_for_the_quota_account_is_not_charged(
    shared: Cluster, canceled_in_quota: uuid.UUID
) -> None:
    shared.finish(canceled_in_quota)

    assert shared.row(canceled_in_quota)["daily_cost"] == 0


def test_an_apply_that_stops_cleanly_is_canceled_with_its_state(
    shared: Cluster, terraform: MoodyTerraform
) -> None:
    assert shared.cancel_in_apply() is JobStatus.CANCELED
    assert shared.machines() == set()


def test_a_terraform_that_ignores_the_interrupt_is_killed_and_its_state_stored(
    shared: Cluster, terraform: MoodyTerraform
) -> None:
    workspace_id = shared.workspace("slow", create_seconds=60)
    with terraform.deaf("apply"):
        job_id = shared.enqueue(workspace_id)
        shared.wait_for_machine(workspace_id)

        shared.cancel(job_id)

        shared.finish(job_id)
    row = shared.row(job_id)
    assert (row["status"], row["failure_reason"]) == (JobStatus.FAILED, FailureReason.CANCELED)
    assert shared.known_machines(workspace_id)


def test_nothing_is_left_of_canceled_builds(shared: Cluster, terraform: MoodyTerraform) -> None:
    with terraform.hanging("plan"):
        job_id = shared.enqueue(shared.workspace("plain"))
        terraform.wait()
        shared.cancel(job_id)
        shared.finish(job_id)

    shared.settle()

    assert shared.remains() == {}
