"""Deadlines of workspaces, and the sweeper that acts on them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from db.catalog.deadlines import bump_activity, end_deadline, extend_deadline, lock_due
from db.catalog.edits import edit_template
from db.catalog.templates import get_template
from db.catalog.workspaces import create_workspace, edit_workspace
from db.errors import ConflictError, InvalidError
from db.jobs.finish import fail_job
from db.jobs.results import BuildResult, Failure
from db.reads.builds import get_builds
from db.schema.enums import FailureReason, JobErrorCode, JobStatus, Transition
from db.schema.tables import Workspace
from tests.harness.factory import Factory
from worker.maintenance.autostop import Autostop

HOUR = timedelta(hours=1)
HOUR_NS = 3_600_000_000_000


def execute(factory: Factory, statement: str, **values: Any) -> Any:
    with factory.database.begin() as session:
        return session.execute(text(statement), values)


def workspace_with_ttl(factory: Factory, ttl: int | None = 8 * HOUR_NS) -> Workspace:
    workspace = factory.any_workspace()
    with factory.database.begin() as session:
        edit_workspace(session, workspace.id, {"ttl": ttl})
    return workspace


def running(factory: Factory) -> Workspace:
    """A workspace that was started and has a deadline."""
    workspace = workspace_with_ttl(factory)
    factory.finished_build(workspace)
    return workspace


def due(factory: Factory) -> Workspace:
    """A workspace whose deadline has passed."""
    workspace = running(factory)
    execute(factory, "UPDATE autostops SET due_at = now() - interval '1 minute'")
    return workspace


def stop_due(factory: Factory, *, retry_after: timedelta | None = timedelta()) -> int:
    rung: list[str] = []

    def ring(queue: str) -> bool:
        rung.append(queue)
        return True

    autostop = Autostop(database=factory.database, ring=ring, retry_after=retry_after)
    stopped = autostop.stop_due()
    assert len(rung) == stopped
    return stopped


def latest(factory: Factory, workspace_id: uuid.UUID) -> Any:
    with factory.database.begin() as session:
        return get_builds(session, workspace_id)[0]


def deadline(factory: Factory, workspace: Workspace) -> datetime | None:
    found: datetime | None = latest(factory, workspace.id).deadline
    return found


def is_in(moment: datetime | None, span: timedelta) -> bool:
    return moment is not None and abs(moment - datetime.now(UTC) - span) < timedelta(minutes=1)


def test_a_successful_start_sets_the_deadline(factory: Factory) -> None:
    assert is_in(deadline(factory, running(factory)), 8 * HOUR)
    assert stop_due(factory) == 0


def test_a_workspace_without_a_time_to_live_has_no_deadline(factory: Factory) -> None:
    workspace = workspace_with_ttl(factory, None)
    factory.finished_build(workspace)
    assert deadline(factory, workspace) is None


def test_a_failed_start_sets_no_deadline(factory: Factory) -> None:
    workspace = workspace_with_ttl(factory)
    factory.finished_build(workspace, status=JobStatus.FAILED)
    assert deadline(factory, workspace) is None


def test_a_workspace_is_stopped_once_after_its_deadline(factory: Factory) -> None:
    workspace = due(factory)
    assert stop_due(factory) == 1
    build = latest(factory, workspace.id)
    assert (build.transition, build.reason, build.initiator_id) == (
        "stop",
        "autostop",
        workspace.owner_id,
    )
    assert stop_due(factory) == 0


def test_a_workspace_that_is_stopped_is_not_stopped_again(factory: Factory) -> None:
    workspace = running(factory)
    factory.finished_build(workspace, Transition.STOP)
    execute(factory, "UPDATE autostops SET due_at = now()")
    assert stop_due(factory) == 0


def test_a_workspace_whose_later_start_failed_is_stopped(factory: Factory) -> None:
    workspace = due(factory)
    factory.finished_build(workspace, status=JobStatus.FAILED)
    assert stop_due(factory) == 1


def test_an_active_build_is_waited_for(factory: Factory) -> None:
    workspace = due(factory)
    job = factory.running_build(workspace)
    assert stop_due(factory) == 0
    factory.finish(job)
    execute(factory, "UPDATE autostops SET due_at = now() - interval '1 minute'")
    assert stop_due(factory) == 1


def test_a_refused_stop_does_not_hold_up_others(factory: Factory) -> None:
    refused, other = due(factory), due(factory)
    execute(
        factory,
        """
        INSERT INTO template_version_workspace_tags (template_version_id, key, value)
        SELECT template_version_id, 'zone', 'no.such.thing' FROM latest_workspace_builds
        WHERE workspace_id = :id
        """,
        id=refused.id,
    )
    assert stop_due(factory) == 1
    assert latest(factory, other.id).transition == "stop"


def test_two_sweepers_do_not_stop_one_workspace_twice(factory: Factory) -> None:
    due(factory)
    with factory.database.begin() as session:
        assert lock_due(session, retry_after=None) is not None
        assert stop_due(factory) == 0


def test_a_failed_stop_is_tried_once_more(factory: Factory) -> None:
    workspace = running(factory)
    factory.finished_build(workspace, Transition.STOP, status=JobStatus.FAILED)
    assert stop_due(factory) == 1
    job = factory.claim()
    assert job is not None
    with factory.database.begin() as session:
        failure = Failure(message="again", reason=FailureReason.TERRAFORM)
        fail_job(session, job.lease, failure=failure, result=BuildResult())
    assert stop_due(factory) == 0


def test_a_failed_stop_is_tried_again_only_after_a_pause(factory: Factory) -> None:
    factory.finished_build(running(factory), Transition.STOP, status=JobStatus.FAILED)
    assert stop_due(factory, retry_after=HOUR) == 0
    assert stop_due(factory, retry_after=None) == 0


def test_two_failed_stops_in_a_row_are_enough(factory: Factory) -> None:
    workspace = running(factory)
    factory.finished_build(workspace, Transition.STOP, status=JobStatus.FAILED)
    execute(factory, "DELETE FROM autostops")
    factory.finished_build(workspace, Transition.STOP, status=JobStatus.FAILED)
    assert stop_due(factory) == 0


def test_a_start_after_a_failed_stop_ends_the_retry(factory: Factory) -> None:
    workspace = workspace_with_ttl(factory, None)
    factory.finished_build(workspace)
    factory.finished_build(workspace, Transition.STOP, status=JobStatus.FAILED)
    factory.finished_build(workspace, status=JobStatus.FAILED)
    assert stop_due(factory) == 0


def test_a_stop_that_the_quota_refused_is_not_retried(factory: Factory) -> None:
    code = JobErrorCode.INSUFFICIENT_QUOTA
    factory.finished_build(
        running(factory), Transition.STOP, status=JobStatus.FAILED, error_code=code
    )
    assert stop_due(factory) == 0


def test_a_canceled_stop_is_not_retried(factory: Factory) -> None:
    factory.finished_build(running(factory), Transition.STOP, status=JobStatus.CANCELED)
    assert stop_due(factory) == 0


def test_a_deadline_is_extended(factory: Factory) -> None:
    workspace = due(factory)
    until = datetime.now(UTC) + 2 * HOUR
    with factory.database.begin() as session:
        extend_deadline(session, workspace.id, until)
    assert deadline(factory, workspace) == until
    assert stop_due(factory) == 0


def test_a_deadline_is_not_extended_to_a_moment_too_near(factory: Factory) -> None:
    workspace = running(factory)
    with (
        factory.database.begin() as session,
        pytest.raises(InvalidError, match="at least 30 minutes"),
    ):
        extend_deadline(session, workspace.id, datetime.now(UTC))


def test_a_workspace_without_a_deadline_gets_none_by_an_extension(factory: Factory) -> None:
    with (
        factory.database.begin() as session,
        pytest.raises(ConflictError, match="has no deadline"),
    ):
        extend_deadline(session, factory.any_workspace().id, datetime.now(UTC) + HOUR)


def test_use_moves_a_near_deadline(factory: Factory) -> None:
    workspace = due(factory)
    with factory.database.begin() as session:
        assert is_in(bump_activity(session, workspace.id), HOUR)
    assert is_in(deadline(factory, workspace), HOUR)


def test_use_does_not_move_a_far_deadline(factory: Factory) -> None:
    workspace = running(factory)
    with factory.database.begin() as session:
        assert bump_activity(session, workspace.id) is None
    assert is_in(deadline(factory, workspace), 8 * HOUR)


def test_a_template_may_ignore_use(factory: Factory) -> None:
    workspace = due(factory)
    execute(factory, "UPDATE templates SET activity_bump = 0")
    with factory.database.begin() as session:
        assert bump_activity(session, workspace.id) is None


def test_a_deadline_that_was_ended_is_not_acted_on(factory: Factory) -> None:
    workspace = due(factory)
    with factory.database.begin() as session:
        end_deadline(session, workspace.id)
    assert deadline(factory, workspace) is None
    assert stop_due(factory) == 0


def test_a_new_workspace_takes_its_time_to_live_from_the_template(factory: Factory) -> None:
    home = factory.organization()
    owner = factory.user(organization=home)
    template = factory.template(organization=home, created_by=owner)
    with factory.database.begin() as session:
        edit_template(session, template.id, {"default_ttl": 2 * HOUR_NS})
    with factory.database.begin() as session:
        named = get_template(session, name=template.name, organization=home)
        made = create_workspace(session, owner=owner, template=named, name="box")
        assert made.ttl == 2 * HOUR_NS
