"""A workspace that is deleted as an orphan: at once, by nobody, with its last state kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from db.catalog.audit import Actor
from db.catalog.orphans import OrphanedWorkspace, orphan_workspace
from db.errors import BuildActiveError, NotFoundError
from db.jobs.moves import Move, Verb, moves_made
from db.jobs.reaper import ABANDONED_AFTER
from db.jobs.results import BuildResult
from db.jobs.retention import Retention, prune
from db.jobs.states import RecoveredState, store_recovered_state
from db.reads.states import get_state
from db.schema.enums import JobStatus, Stage, Transition
from db.schema.tables import AuditLog, ProvisionerJobLog, Workspace, WorkspaceBuild
from quota.usage import consumption
from tests.harness.factory import Factory
from tests.harness.states import LINEAGE, state_file, state_of

ROOT = Actor(username="root")
LEFT = state_file(5, names=["a", "b"])


@pytest.fixture
def workspace(factory: Factory) -> Workspace:
    """A workspace whose first build has left a state with two resources."""
    made = factory.any_workspace()
    factory.finished_build(made, result=BuildResult(state=state_of(5, names=["a", "b"])))
    return made


def orphan(factory: Factory, workspace: Workspace, actor: Actor = ROOT) -> OrphanedWorkspace:
    with factory.database.begin() as session:
        return orphan_workspace(session, workspace_id=workspace.id, actor=actor)


def is_deleted(factory: Factory, workspace: Workspace) -> bool:
    with factory.database.begin() as session:
        return session.get_one(Workspace, workspace.id).deleted


def builds(factory: Factory, workspace: Workspace) -> list[WorkspaceBuild]:
    with factory.database.begin() as session:
        query = select(WorkspaceBuild).where(WorkspaceBuild.workspace_id == workspace.id)
        return list(session.scalars(query.order_by(WorkspaceBuild.build_number)))


def pulled(factory: Factory, workspace: Workspace, build: int | None = None) -> bytes:
    with factory.database.begin() as session:
        return get_state(session, workspace.id, build_number=build).data


def age(factory: Factory, *, days: float) -> None:
    """Let every job have ended that many days earlier."""
    with factory.database.begin() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(
            text("UPDATE provisioner_jobs SET completed_at = completed_at - :by"),
            {"by": timedelta(days=days)},
        )


def test_the_workspace_is_deleted_at_once(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    assert is_deleted(factory, workspace)


def test_the_delete_is_a_build_that_has_succeeded(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    last = builds(factory, workspace)[-1]
    assert (last.build_number, last.transition) == (2, Transition.DELETE)
    assert factory.status(last.job_id) is JobStatus.SUCCEEDED


def test_the_delete_ends_when_it_is_asked_for(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    job = factory.job(builds(factory, workspace)[-1].job_id)
    assert job.completed_at == job.created_at


def test_the_delete_is_told_as_a_move(factory: Factory, workspace: Workspace) -> None:
    with factory.database.begin() as session:
        orphan_workspace(session, workspace_id=workspace.id, actor=ROOT)
        [moved] = moves_made(session)
    assert moved.move == Move(Verb.ORPHAN, JobStatus.PENDING, JobStatus.SUCCEEDED)


def test_no_worker_can_claim_the_delete(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    assert factory.claim() is None


def test_the_log_says_what_may_still_exist(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    with factory.database.begin() as session:
        [line] = session.scalars(select(ProvisionerJobLog.output)).all()
    assert line == (
        "root deleted the workspace without destroying anything; what its last state lists may"
        " still exist (2): terraform_data.a, terraform_data.b"
    )


def test_the_quota_is_free_again(factory: Factory, workspace: Workspace) -> None:
    with factory.database.begin() as session:
        session.execute(text("UPDATE workspace_builds SET daily_cost = 4"))
    orphan(factory, workspace)
    with factory.database.begin() as session:
        consumed = consumption(
            session, organization_id=workspace.organization_id, owner_id=workspace.owner_id
        )
    assert consumed == 0


def test_the_name_is_free_again(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    factory.namesake(workspace)


@pytest.mark.parametrize("build", [None, 1, 2])
def test_the_last_state_can_be_fetched(
    factory: Factory, workspace: Workspace, build: int | None
) -> None:
    orphan(factory, workspace)
    assert pulled(factory, workspace, build) == LEFT


def test_the_last_state_is_kept_as_long_as_jobs_although_its_build_is_old(
    factory: Factory, workspace: Workspace
) -> None:
    age(factory, days=1000)
    orphan(factory, workspace)
    age(factory, days=89)
    prune(factory.database, Retention())
    assert pulled(factory, workspace) == LEFT


def test_the_last_state_goes_with_its_job(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    age(factory, days=91)
    prune(factory.database, Retention())
    with pytest.raises(NotFoundError, match="no state"):
        pulled(factory, workspace)


def test_a_newer_state_that_is_found_on_disk_can_be_fetched(factory: Factory) -> None:
    workspace = factory.any_workspace()
    job = factory.finished_build(workspace, result=BuildResult(state=state_of(5)))
    orphan(factory, workspace)
    with factory.database.begin() as session:
        outcome = store_recovered_state(session, job_id=job.id, claim=job.claim, state=state_of(6))
    assert outcome is RecoveredState.STORED
    assert pulled(factory, workspace) == state_file(6)


def test_the_initiator_is_the_user_who_did_it(factory: Factory, workspace: Workspace) -> None:
    admin = factory.user()
    orphan(factory, workspace, Actor.of(admin))
    assert builds(factory, workspace)[-1].initiator_id == admin.id


def test_the_initiator_is_the_owner_where_no_user_of_the_platform_did_it(
    factory: Factory, workspace: Workspace
) -> None:
    orphan(factory, workspace)
    assert builds(factory, workspace)[-1].initiator_id == workspace.owner_id


def test_the_audit_log_says_who_did_it_and_to_what(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    with factory.database.begin() as session:
        [row] = session.scalars(select(AuditLog)).all()
    assert (row.username, row.action, row.resource_id) == ("root", "delete_orphan", workspace.id)
    assert row.diff == {"deleted": {"old": False, "new": True}}
    assert row.additional_fields == {
        "build_number": 2,
        "lineage": LINEAGE,
        "serial": 5,
        "resources": 2,
    }


@pytest.mark.parametrize("is_claimed", [True, False], ids=["running", "pending"])
def test_it_is_refused_while_a_build_is_active(
    factory: Factory, workspace: Workspace, is_claimed: bool
) -> None:
    (factory.running_build if is_claimed else factory.build)(workspace)
    with pytest.raises(BuildActiveError):
        orphan(factory, workspace)
    assert not is_deleted(factory, workspace)


@pytest.mark.parametrize("stage", [Stage.PLAN, Stage.APPLY])
def test_a_build_whose_worker_is_long_gone_is_closed_without_a_worker(
    factory: Factory, workspace: Workspace, stage: Stage
) -> None:
    job = factory.running_build(workspace, stage=stage, lease=-ABANDONED_AFTER)
    orphan(factory, workspace)
    assert factory.status(job.id) is JobStatus.FAILED
    assert is_deleted(factory, workspace)


def test_a_build_whose_lease_has_just_run_out_may_still_run(
    factory: Factory, workspace: Workspace
) -> None:
    factory.running_build(workspace, lease=-ABANDONED_AFTER / 2)
    with pytest.raises(BuildActiveError):
        orphan(factory, workspace)


def test_a_workspace_is_deleted_once(factory: Factory, workspace: Workspace) -> None:
    orphan(factory, workspace)
    with pytest.raises(NotFoundError, match="was deleted"):
        orphan(factory, workspace)


def test_a_workspace_whose_template_has_no_version_left_to_build_is_deleted(
    factory: Factory, workspace: Workspace
) -> None:
    with factory.database.begin() as session:
        session.execute(text("UPDATE templates SET active_version_id = NULL"))
    orphan(factory, workspace)
    assert is_deleted(factory, workspace)


def test_a_workspace_that_was_never_built_is_deleted_without_a_build(factory: Factory) -> None:
    workspace = factory.any_workspace()
    assert orphan(factory, workspace).build is None
    assert is_deleted(factory, workspace)


def test_a_workspace_whose_state_cannot_be_read_is_deleted(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace)
    with factory.database.begin() as session:
        session.execute(
            text("""
                UPDATE workspace_builds
                SET provisioner_state = 'x', state_lineage = 'one', state_serial = 1
            """)
        )
    assert orphan(factory, workspace).resources == []
