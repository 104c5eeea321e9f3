"""States that a person gives to a workspace: what is taken, what is kept, what is written down."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from db.catalog.audit import Actor
from db.catalog.builds import insert_build
from db.catalog.states import PushedState, adopt_state, push_state
from db.errors import (
    BuildActiveError,
    ConflictError,
    InvalidError,
    NotFoundError,
    StateRefusedError,
)
from db.jobs.results import BuildResult
from db.jobs.retention import Retention, prune
from db.jobs.states import RecoveredState, store_recovered_state
from db.jobs.transitions import ClaimedJob, cancel_job
from db.reads.logs import get_logs
from db.reads.states import StateListing, get_state, list_states, state_label
from db.schema.enums import Transition
from db.schema.tables import AuditLog, Workspace
from tests.harness.factory import Factory
from tests.harness.states import LINEAGE, state_file, state_of
from tests.harness.waiting import wait_until

DEADLINE_S = 30
ROOT = Actor(username="root")
OTHER = "another-lineage"


@pytest.fixture
def workspace_and_job(factory: Factory) -> tuple[Workspace, ClaimedJob]:
    """A workspace whose first build has left a state of serial 5, with two resources."""
    made = factory.any_workspace()
    result = BuildResult(state=state_of(5, names=["a", "b"]))
    return made, factory.finished_build(made, result=result)


@pytest.fixture
def workspace(workspace_and_job: tuple[Workspace, ClaimedJob]) -> Workspace:
    return workspace_and_job[0]


@pytest.fixture
def lost(workspace_and_job: tuple[Workspace, ClaimedJob]) -> uuid.UUID:
    """The job of the first build, whose worker may have left a newer state on its disk."""
    return workspace_and_job[1].id


def push(
    factory: Factory, workspace: Workspace, data: bytes, *, force: bool = False
) -> PushedState:
    with factory.database.begin() as session:
        return push_state(session, workspace_id=workspace.id, data=data, actor=ROOT, force=force)


def pulled(factory: Factory, workspace: Workspace, build: int | None = None, at: int = 0) -> bytes:
    with factory.database.begin() as session:
        return get_state(session, workspace.id, build_number=build, position=at).data


def listed(factory: Factory, workspace: Workspace) -> list[StateListing]:
    with factory.database.begin() as session:
        return list_states(session, workspace.id)


def audited(factory: Factory, workspace: Workspace) -> list[AuditLog]:
    with factory.database.begin() as session:
        query = select(AuditLog).where(AuditLog.resource_id == workspace.id)
        return list(session.scalars(query.order_by(AuditLog.time)))


def test_the_next_build_starts_from_a_pushed_state(factory: Factory, workspace: Workspace) -> None:
    push(factory, workspace, state_file(6))
    build = factory.build(workspace)
    assert pulled(factory, workspace, build.build_number) == state_file(6)


def test_a_replaced_state_can_still_be_fetched_by_its_build(
    factory: Factory, workspace: Workspace
) -> None:
    push(factory, workspace, state_file(6))
    assert pulled(factory, workspace, 1) == state_file(5, names=["a", "b"])


def test_each_pushed_state_can_be_fetched(factory: Factory, workspace: Workspace) -> None:
    for serial in (6, 7, 8):
        push(factory, workspace, state_file(serial))
    found = [pulled(factory, workspace, 1, at) for at in (1, 2, 3)]
    assert found == [state_file(6), state_file(7), state_file(8)]


def test_without_a_build_the_newest_state_is_fetched(
    factory: Factory, workspace: Workspace
) -> None:
    push(factory, workspace, state_file(6))
    assert pulled(factory, workspace) == state_file(6)


def test_states_are_listed_newest_first(factory: Factory, workspace: Workspace) -> None:
    push(factory, workspace, state_file(6))
    factory.finished_build(workspace, Transition.STOP, result=BuildResult(state=state_of(7)))
    rows = listed(factory, workspace)
    found = [(state_label(row.build_number, row.position), row.serial) for row in rows]
    assert found == [("2", 7), ("1.1", 6), ("1", 5)]


def test_the_state_that_the_next_build_starts_from_is_current(
    factory: Factory, workspace: Workspace
) -> None:
    push(factory, workspace, state_file(6))
    assert [row.is_current for row in listed(factory, workspace)] == [True, False]


def test_nothing_of_a_deleted_workspace_is_current(factory: Factory, workspace: Workspace) -> None:
    factory.finished_build(workspace, Transition.DELETE, result=BuildResult(state=state_of(6)))
    assert not any(row.is_current for row in listed(factory, workspace))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(state_file(5), id="same serial"),
        pytest.param(state_file(4), id="lower serial"),
        pytest.param(state_file(9, lineage=OTHER), id="other lineage"),
    ],
)
def test_a_state_that_does_not_follow_the_stored_one_is_refused(
    factory: Factory, workspace: Workspace, data: bytes
) -> None:
    with pytest.raises(StateRefusedError):
        push(factory, workspace, data)
    assert pulled(factory, workspace) == state_file(5, names=["a", "b"])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(state_file(4), id="lower serial"),
        pytest.param(state_file(9, lineage=OTHER), id="other lineage"),
    ],
)
def test_force_takes_a_state_that_does_not_follow_the_stored_one(
    factory: Factory, workspace: Workspace, data: bytes
) -> None:
    push(factory, workspace, data, force=True)
    assert pulled(factory, workspace) == data


def test_a_build_goes_on_from_a_forced_state(factory: Factory, workspace: Workspace) -> None:
    push(factory, workspace, state_file(1, lineage=OTHER), force=True)
    new = state_of(2, lineage=OTHER)
    factory.finished_build(workspace, result=BuildResult(state=new))
    assert pulled(factory, workspace) == new.data


def test_a_state_that_is_stored_already_changes_nothing(
    factory: Factory, workspace: Workspace
) -> None:
    assert not push(factory, workspace, state_file(5, names=["a", "b"])).is_changed
    assert len(listed(factory, workspace)) == 1


def test_a_workspace_whose_builds_left_no_state_takes_any(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace)
    push(factory, workspace, state_file(0))
    assert pulled(factory, workspace) == state_file(0)


def test_resources_that_the_new_state_lacks_are_named(
    factory: Factory, workspace: Workspace
) -> None:
    pushed = push(factory, workspace, state_file(6, names=["b", "c"]))
    assert pushed.dropped == ["terraform_data.a"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "not a Terraform state", id="empty"),
        pytest.param(b"\x00\xff", "not a Terraform state", id="binary"),
        pytest.param(b"[" * 100_000, "not a Terraform state", id="nested deep"),
        pytest.param(b"[1]", "not a Terraform state", id="list"),
        pytest.param(state_file(6, lineage=""), "not a Terraform state", id="no lineage"),
        pytest.param(state_file(6, lineage="a\x00"), "not a Terraform state", id="null byte"),
        pytest.param(state_file(-1), "not a Terraform state", id="negative serial"),
        pytest.param(state_file(2**63), "not a Terraform state", id="huge serial"),
        pytest.param(state_file(6)[:-1], "not a Terraform state", id="cut off"),
        pytest.param(state_file(6, version=3), "version 4", id="version 3"),
        pytest.param(state_file(6, resources=5), "resources", id="resources a number"),
        pytest.param(state_file(6, resources=["x"]), "resources", id="resource a text"),
        pytest.param(state_file(6, resources=[{}]), "resources", id="resource empty"),
        pytest.param(b" " * (64 * 1024 * 1024 + 1), "larger than 64 MiB", id="too large"),
    ],
)
def test_what_is_not_a_state_is_refused_even_by_force(
    factory: Factory, workspace: Workspace, data: bytes, says: str
) -> None:
    with pytest.raises(InvalidError, match=says):
        push(factory, workspace, data, force=True)


def test_a_push_is_refused_while_a_build_waits(factory: Factory, workspace: Workspace) -> None:
    factory.build(workspace)
    with pytest.raises(BuildActiveError):
        push(factory, workspace, state_file(6), force=True)


def test_a_push_is_refused_while_a_build_runs(factory: Factory, workspace: Workspace) -> None:
    factory.running_build(workspace)
    with pytest.raises(BuildActiveError):
        push(factory, workspace, state_file(6), force=True)


def test_a_build_that_is_enqueued_meanwhile_starts_from_the_pushed_state(
    factory: Factory, workspace: Workspace
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with factory.database.begin() as session:
            push_state(session, workspace_id=workspace.id, data=state_file(6), actor=ROOT)
            enqueued = pool.submit(factory.build, workspace)
            wait_until(factory.is_anybody_waiting, "the build to wait for the push")
        number = enqueued.result(DEADLINE_S).build_number
    assert pulled(factory, workspace, number) == state_file(6)


def test_a_push_that_waited_for_an_enqueued_build_is_refused(
    factory: Factory, workspace: Workspace
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with factory.database.begin() as session:
            insert_build(session, workspace_id=workspace.id, transition=Transition.STOP)
            pushed = pool.submit(push, factory, workspace, state_file(6))
            wait_until(factory.is_anybody_waiting, "the push to wait for the build")
        with pytest.raises(BuildActiveError):
            pushed.result(DEADLINE_S)


def test_a_workspace_without_a_build_takes_no_state(factory: Factory) -> None:
    with pytest.raises(ConflictError, match="has not been built"):
        push(factory, factory.any_workspace(), state_file(1))


def test_a_deleted_workspace_takes_no_state(factory: Factory, workspace: Workspace) -> None:
    factory.finished_build(workspace, Transition.DELETE)
    with pytest.raises(NotFoundError, match="was deleted"):
        push(factory, workspace, state_file(6))


def test_the_states_of_a_deleted_workspace_can_be_fetched(
    factory: Factory, workspace: Workspace
) -> None:
    factory.finished_build(workspace, Transition.DELETE, result=BuildResult(state=state_of(6)))
    assert pulled(factory, workspace, 1) == state_file(5, names=["a", "b"])


@pytest.mark.parametrize(
    ("build", "position", "says"),
    [
        pytest.param(7, 0, "no build 7", id="no such build"),
        pytest.param(1, 1, "no build 1.1", id="no such push"),
        pytest.param(2**40, 0, "no build", id="out of range"),
    ],
)
def test_a_state_that_is_not_there_is_not_found(
    factory: Factory, workspace: Workspace, build: int, position: int, says: str
) -> None:
    with pytest.raises(NotFoundError, match=says):
        pulled(factory, workspace, build, position)


def test_a_build_that_left_no_state_says_so(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace)
    with pytest.raises(NotFoundError, match="build 1 of the workspace has no state"):
        pulled(factory, workspace, 1)


def test_a_change_is_written_into_the_audit_log(factory: Factory, workspace: Workspace) -> None:
    push(factory, workspace, state_file(6))
    [row] = audited(factory, workspace)
    assert (row.username, row.user_id, row.action) == ("root", None, "push_state")
    assert row.diff == {
        "lineage": {"old": LINEAGE, "new": LINEAGE},
        "serial": {"old": 5, "new": 6},
    }
    assert row.additional_fields == {
        "build_number": 1,
        "position": 1,
        "forced": False,
        "adopted_job_id": None,
    }


def test_a_refused_change_is_not_written_into_the_audit_log(
    factory: Factory, workspace: Workspace
) -> None:
    with pytest.raises(StateRefusedError):
        push(factory, workspace, state_file(4))
    assert audited(factory, workspace) == []


def adopt_state_of_a_build(factory: Factory, workspace: Workspace) -> ClaimedJob:
    """Adopt the orphaned state, of serial 7, of a build that stored one of serial 6."""
    job = factory.finished_build(workspace, result=BuildResult(state=state_of(6)))
    with factory.database.begin() as session:
        adopt_state(session, job_id=job.id, data=state_file(7), actor=ROOT)
    return job


def test_an_orphaned_state_goes_to_the_workspace_of_its_job(
    factory: Factory, workspace: Workspace
) -> None:
    job = adopt_state_of_a_build(factory, workspace)
    assert pulled(factory, workspace) == state_file(7)
    [row] = audited(factory, workspace)
    assert (row.action, row.additional_fields["adopted_job_id"]) == ("adopt_state", str(job.id))


def test_the_log_of_the_build_says_that_its_state_was_adopted(
    factory: Factory, workspace: Workspace
) -> None:
    job = adopt_state_of_a_build(factory, workspace)
    with factory.database.begin() as session:
        [line] = get_logs(session, job.id)
    assert line.output.startswith("root adopted the state that was put aside (serial 7)")


def test_an_orphaned_state_of_a_pruned_job_needs_a_workspace(
    factory: Factory, workspace: Workspace
) -> None:
    gone = uuid.uuid4()
    with factory.database.begin() as session, pytest.raises(NotFoundError, match="workspace"):
        adopt_state(session, job_id=gone, data=state_file(7), actor=ROOT)
    with factory.database.begin() as session:
        adopt_state(session, job_id=gone, data=state_file(7), actor=ROOT, workspace_id=workspace.id)
    assert pulled(factory, workspace) == state_file(7)


def test_an_orphaned_state_goes_to_no_other_workspace(
    factory: Factory, workspace: Workspace
) -> None:
    other = factory.finished_build()
    with factory.database.begin() as session, pytest.raises(InvalidError, match="another"):
        adopt_state(
            session, job_id=other.id, data=state_file(7), actor=ROOT, workspace_id=workspace.id
        )


def recover(factory: Factory, job_id: uuid.UUID, serial: int) -> RecoveredState:
    with factory.database.begin() as session:
        return store_recovered_state(session, job_id=job_id, claim=1, state=state_of(serial))


@pytest.mark.parametrize("serial", [6, 7])
def test_a_state_found_on_disk_does_not_replace_a_pushed_one(
    factory: Factory, workspace: Workspace, lost: uuid.UUID, serial: int
) -> None:
    push(factory, workspace, state_file(6, names=["by hand"]))
    assert recover(factory, lost, serial) is RecoveredState.KEPT
    assert pulled(factory, workspace) == state_file(6, names=["by hand"])


def test_a_state_found_on_disk_does_not_replace_one_pushed_on_a_canceled_build(
    factory: Factory, workspace: Workspace, lost: uuid.UUID
) -> None:
    waiting = factory.build(workspace)
    with factory.database.begin() as session:
        cancel_job(session, job_id=waiting.job_id)
    push(factory, workspace, state_file(6, names=["by hand"]))
    assert recover(factory, lost, 7) is RecoveredState.KEPT
    assert pulled(factory, workspace) == state_file(6, names=["by hand"])


def test_a_state_found_on_disk_that_the_build_had_stored_is_settled_after_a_push(
    factory: Factory, workspace: Workspace, lost: uuid.UUID
) -> None:
    push(factory, workspace, state_file(6))
    assert recover(factory, lost, 5) is RecoveredState.SETTLED


def test_a_replaced_state_is_pruned_once_it_is_old(factory: Factory, workspace: Workspace) -> None:
    push(factory, workspace, state_file(6))
    age_replaced(factory, days=31)
    assert prune(factory.database, Retention()).states == 1
    assert pulled(factory, workspace) == state_file(6)
    with pytest.raises(NotFoundError, match="was pruned"):
        pulled(factory, workspace, 1)


def test_a_replaced_state_is_kept_for_the_retention_of_states(
    factory: Factory, workspace: Workspace
) -> None:
    push(factory, workspace, state_file(6))
    age_replaced(factory, days=29)
    assert prune(factory.database, Retention()).states == 0


def test_a_dry_run_counts_replaced_states(factory: Factory, workspace: Workspace) -> None:
    push(factory, workspace, state_file(6))
    age_replaced(factory, days=31)
    assert prune(factory.database, Retention(), is_dry_run=True).states == 1
    assert pulled(factory, workspace, 1) == state_file(5, names=["a", "b"])


def age_replaced(factory: Factory, *, days: int) -> None:
    with factory.database.begin() as session:
        session.execute(
            text("UPDATE replaced_states SET replaced_at = replaced_at - :by"),
            {"by": timedelta(days=days)},
        )
