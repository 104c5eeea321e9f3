from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select, text

from db.catalog.builds import EnqueuedBuild, insert_build
from db.catalog.people import create_user, set_user_status
from db.catalog.workspaces import create_workspace, get_workspace
from db.errors import BuildActiveError, ConflictError, InvalidError, NotFoundError
from db.jobs.transitions import cancel_job
from db.schema.enums import JobPriority, JobStatus, Stage, Transition, UserStatus
from db.schema.roles import PREBUILDS_USER_ID
from db.schema.tables import Template, User, Workspace, WorkspaceBuild, WorkspaceBuildParameter
from tests.harness.factory import Factory

DEADLINE_S = 30


def parameters(factory: Factory, build: EnqueuedBuild) -> dict[str, str]:
    query = select(WorkspaceBuildParameter).where(
        WorkspaceBuildParameter.workspace_build_id == build.build_id
    )
    with factory.database.begin() as session:
        return {row.name: row.value for row in session.scalars(query)}


def abandon(factory: Factory, build: EnqueuedBuild) -> None:
    with factory.database.begin() as session:
        cancel_job(session, job_id=build.job_id)


def owner_and_template(factory: Factory) -> tuple[User, Template]:
    organization = factory.organization()
    owner = factory.user(organization=organization)
    return owner, factory.template(organization=organization, created_by=owner)


def test_a_workspace_is_found_by_its_owner_and_name(factory: Factory) -> None:
    owner, template = owner_and_template(factory)
    made = factory.workspace(owner=owner, template=template, name="Dev")
    with factory.database.begin() as session:
        assert get_workspace(session, owner=owner, name="dEV").id == made.id
        with pytest.raises(NotFoundError, match="has no workspace 'x'"):
            get_workspace(session, owner=owner, name="x")


@pytest.mark.parametrize("name", ["dev", "DEV"])
def test_a_second_workspace_of_a_name_is_refused(factory: Factory, name: str) -> None:
    owner, template = owner_and_template(factory)
    factory.workspace(owner=owner, template=template, name="dev")
    with pytest.raises(ConflictError, match=f"already has a workspace '{name}'"):
        factory.workspace(owner=owner, template=template, name=name)


def test_the_name_of_a_deleted_workspace_is_free(factory: Factory) -> None:
    owner, template = owner_and_template(factory)
    first = factory.workspace(owner=owner, template=template, name="dev")
    factory.finished_build(first, Transition.DELETE)
    assert factory.workspace(owner=owner, template=template, name="dev").id != first.id


@pytest.mark.parametrize("status", [UserStatus.SUSPENDED, UserStatus.DORMANT])
def test_who_may_not_act_makes_no_workspace(factory: Factory, status: UserStatus) -> None:
    owner, template = owner_and_template(factory)
    with factory.database.begin() as session:
        user = session.get_one(User, owner.id)
        set_user_status(session, user, status)
        with pytest.raises(ConflictError, match=f"is {status} and cannot build"):
            create_workspace(session, owner=user, template=template, name="x")


def test_a_build_is_pending_with_number_and_queue(factory: Factory) -> None:
    build = factory.build(factory.any_workspace())
    assert (build.build_number, build.queue, factory.status(build.job_id)) == (
        1,
        "builds",
        JobStatus.PENDING,
    )


def test_builds_are_numbered_one_after_the_other(factory: Factory) -> None:
    workspace = factory.any_workspace()
    for status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED):
        factory.finished_build(workspace, status=status)
    assert factory.build(workspace).build_number == 4


@pytest.mark.parametrize("is_claimed", [False, True])
@pytest.mark.parametrize("is_canceling", [False, True])
def test_a_workspace_has_one_active_build(
    factory: Factory, is_claimed: bool, is_canceling: bool
) -> None:
    workspace = factory.any_workspace()
    build = factory.build(workspace)
    if is_claimed or is_canceling:
        factory.claim()
    if is_canceling:
        abandon(factory, build)
    with pytest.raises(BuildActiveError, match="A workspace build is already active"):
        factory.build(workspace)


def test_of_builds_enqueued_at_once_one_is_taken(factory: Factory) -> None:
    workspace = factory.any_workspace()
    barrier = threading.Barrier(4)

    def enqueue(_number: int) -> bool:
        barrier.wait(DEADLINE_S)
        try:
            factory.build(workspace)
        except BuildActiveError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(enqueue, range(4), timeout=DEADLINE_S))
    assert sorted(answers) == [False, False, False, True]


def test_a_deleted_workspace_is_not_built(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace, Transition.DELETE)
    with pytest.raises(NotFoundError, match="was deleted"):
        factory.build(workspace)


def test_a_workspace_that_is_not_there_is_not_built(factory: Factory) -> None:
    with factory.database.begin() as session, pytest.raises(NotFoundError):
        insert_build(session, workspace_id=uuid.uuid4(), transition=Transition.START)


def test_a_version_of_another_template_is_not_built(factory: Factory) -> None:
    _owner, other = owner_and_template(factory)
    workspace = factory.any_workspace()
    with factory.database.begin() as session, pytest.raises(ConflictError, match="doesn't match"):
        insert_build(
            session,
            workspace_id=workspace.id,
            transition=Transition.START,
            template_version_id=other.active_version_id,
        )


def test_a_version_whose_import_failed_is_not_built(factory: Factory) -> None:
    workspace = factory.any_workspace()
    with factory.database.begin() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("UPDATE provisioner_jobs SET error = 'it broke'"))
    with pytest.raises(ConflictError, match="has failed to import"):
        factory.build(workspace)


def test_a_refused_build_leaves_nothing(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.build(workspace)
    with factory.database.begin() as session:
        with pytest.raises(BuildActiveError):
            insert_build(session, workspace_id=workspace.id, transition=Transition.STOP)
        assert len(session.scalars(select(WorkspaceBuild)).all()) == 1


@dataclass(frozen=True, kw_only=True)
class Updated:
    """A workspace whose template got a second version after its first build."""

    workspace: Workspace
    first: uuid.UUID
    second: uuid.UUID


def updated(factory: Factory, **first_build: Any) -> Updated:
    organization = factory.organization()
    owner = factory.user(organization=organization)
    first = factory.template(organization=organization, created_by=owner, name="images")
    workspace = factory.workspace(owner=owner, template=first)
    factory.finished_build(workspace, **first_build)
    second = factory.template(organization=organization, created_by=owner, name="images")
    assert first.active_version_id
    assert second.active_version_id
    return Updated(
        workspace=workspace, first=first.active_version_id, second=second.active_version_id
    )


def version_of(factory: Factory, build: EnqueuedBuild) -> uuid.UUID:
    with factory.database.begin() as session:
        return session.get_one(WorkspaceBuild, build.build_id).template_version_id


FAILED_IN_PLAN: Mapping[str, Any] = {"status": JobStatus.FAILED, "stage": Stage.PLAN}
FAILED_IN_APPLY: Mapping[str, Any] = {"status": JobStatus.FAILED, "stage": Stage.APPLY}


@pytest.mark.parametrize("transition", list(Transition))
def test_a_build_stays_with_the_version_that_was_applied(
    factory: Factory, transition: Transition
) -> None:
    made = updated(factory)
    assert version_of(factory, factory.build(made.workspace, transition)) == made.first


@pytest.mark.parametrize("transition", list(Transition))
def test_an_update_that_failed_before_apply_does_not_stay(
    factory: Factory, transition: Transition
) -> None:
    made = updated(factory)
    factory.finished_build(made.workspace, template_version_id=made.second, **FAILED_IN_PLAN)
    assert version_of(factory, factory.build(made.workspace, transition)) == made.first


def test_an_update_that_failed_in_apply_stays(factory: Factory) -> None:
    made = updated(factory)
    factory.finished_build(made.workspace, template_version_id=made.second, **FAILED_IN_APPLY)
    assert version_of(factory, factory.build(made.workspace, Transition.DELETE)) == made.second


def test_where_nothing_was_applied_the_active_version_is_built(factory: Factory) -> None:
    made = updated(factory, **FAILED_IN_PLAN)
    assert version_of(factory, factory.build(made.workspace)) == made.second


def workspace_with(factory: Factory, *names: str) -> Workspace:
    """A workspace of a template with these parameters, all of them required."""
    declared = [{"name": name, "required": True} for name in names]
    return factory.any_workspace(script={"parse": {"parameters": declared}})


def test_parameters_stand_until_others_are_given(factory: Factory) -> None:
    workspace = workspace_with(factory, "a", "b", "c")
    factory.finished_build(workspace, parameters={"a": "1", "b": "1", "c": "1"})
    factory.finished_build(workspace, parameters={"b": "2", "c": "3"})
    build = factory.build(workspace)
    assert parameters(factory, build) == {"a": "1", "b": "2", "c": "3"}


def test_a_value_of_a_build_that_failed_before_apply_does_not_stand(factory: Factory) -> None:
    workspace = workspace_with(factory, "size")
    factory.finished_build(workspace, parameters={"size": "1"})
    factory.finished_build(workspace, parameters={"size": "9"}, **FAILED_IN_PLAN)
    assert parameters(factory, factory.build(workspace)) == {"size": "1"}


def test_where_nothing_was_applied_the_values_of_the_last_attempt_stand(factory: Factory) -> None:
    workspace = workspace_with(factory, "size")
    factory.finished_build(workspace, parameters={"size": "1"}, **FAILED_IN_PLAN)
    assert parameters(factory, factory.build(workspace)) == {"size": "1"}


@pytest.mark.parametrize("given", [{"a": "\x00"}, {"\x00": "a"}, {"a": "\udc80"}], ids=ascii)
def test_a_parameter_that_cannot_be_stored_is_refused(
    factory: Factory, given: Mapping[str, str]
) -> None:
    workspace = factory.any_workspace()
    with pytest.raises(InvalidError, match="parameter"):
        factory.build(workspace, parameters=given)


def test_the_initiator_is_the_owner_unless_named(factory: Factory) -> None:
    workspace = factory.any_workspace()
    first = factory.build(workspace)
    assert factory.job(first.job_id).initiator_id == workspace.owner_id
    abandon(factory, first)
    other = factory.user()
    second = factory.build(workspace, initiator_id=other.id)
    assert factory.job(second.job_id).initiator_id == other.id


def test_a_prebuild_has_the_lower_priority(factory: Factory) -> None:
    with factory.database.begin() as session:
        create_user(session, username="prebuilds").id = PREBUILDS_USER_ID
    human = factory.build(factory.any_workspace())
    prebuild = factory.build(factory.any_workspace(), initiator_id=PREBUILDS_USER_ID)
    priorities = [factory.job(build.job_id).priority for build in (human, prebuild)]
    assert priorities == [JobPriority.HUMAN, JobPriority.PREBUILD]
