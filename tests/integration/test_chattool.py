"""The tools against PostgreSQL, with builds by the echo engine."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from chattool import (
    AuthorizationError,
    BuildTimeoutError,
    CountingAuthorization,
    StoredAuthorization,
    WorkspaceBuildError,
    create_workspace,
    start_workspace,
    wait_for_build,
)
from chattool.figures import look_up_figures
from db.contract import WorkspaceQuota
from db.enums import JobErrorCode, JobStatus, Transition, UserStatus
from db.errors import NotFoundError
from db.models import Chat as ChatRow
from db.models import Template, User, WorkspaceBuild
from db.results import BuildResult
from db.transitions import cancel_job, finish_cancel_job
from tests.factory import Factory
from tests.integration.chatting import FAST, SHORT, Chat, make_chat

QUOTA = JobErrorCode.INSUFFICIENT_QUOTA
REFUSED = {"status": JobStatus.FAILED, "error": "insufficient quota", "error_code": QUOTA}
TOOLS = pytest.mark.parametrize("tool", ["create", "start"])


@pytest.fixture
def chat(factory: Factory, tmp_path: Path) -> Chat:
    return make_chat(factory, tmp_path)


def call(chat: Chat, tool: str, **given: Any) -> dict[str, Any]:
    if tool == "create":
        return create_workspace(chat.context(), template_id="dev", **given)
    return start_workspace(chat.context(), **given)


def failing(chat: Chat) -> Chat:
    """The chat, whose owner nobody can authorize."""

    def fail() -> None:
        raise AuthorizationError("load user authorization: no answer")

    chat.authorization = CountingAuthorization(before=fail)
    return chat


# Waiting for a build


def test_waiting_returns_the_build_that_succeeded(chat: Chat) -> None:
    _, build_id = chat.ended()
    build = wait_for_build(chat.factory.database, build_id)
    assert (build.id, build.job.status) == (build_id, "succeeded")


@pytest.mark.parametrize("code", [None, *JobErrorCode])
def test_waiting_raises_the_error_and_the_code_of_the_row(
    chat: Chat, code: JobErrorCode | None
) -> None:
    _, build_id = chat.ended(status=JobStatus.FAILED, error="it broke", error_code=code)
    with pytest.raises(WorkspaceBuildError) as raised:
        wait_for_build(chat.factory.database, build_id)
    assert (raised.value.message, raised.value.code) == ("it broke", code)


def test_the_code_is_never_taken_from_the_text(chat: Chat) -> None:
    _, build_id = chat.ended(status=JobStatus.FAILED, error="insufficient quota")
    with pytest.raises(WorkspaceBuildError) as raised:
        wait_for_build(chat.factory.database, build_id)
    assert raised.value.code is None


def test_waiting_for_a_canceled_build_says_that_it_was_canceled(chat: Chat) -> None:
    _, build_id = chat.ended(status=JobStatus.CANCELED)
    with pytest.raises(WorkspaceBuildError, match="build was canceled"):
        wait_for_build(chat.factory.database, build_id)


def test_waiting_ends_with_the_time_limit(chat: Chat) -> None:
    _, build_id = chat.active()
    with pytest.raises(BuildTimeoutError, match="timed out waiting for workspace build: it is"):
        wait_for_build(chat.factory.database, build_id, settings=SHORT)


def test_there_is_no_waiting_for_a_build_that_does_not_exist(chat: Chat) -> None:
    with pytest.raises(NotFoundError, match="there is no workspace build"):
        wait_for_build(chat.factory.database, uuid.uuid4())


# Creating


def test_a_workspace_is_created_and_its_resources_returned(chat: Chat) -> None:
    with chat.building():
        answer = create_workspace(chat.context(), template_id=str(chat.template.id), name="box")
    assert answer == {
        "created": True,
        "workspace_name": "alice/box",
        "build_id": str(chat.look().build_id),
        "resources": [{"type": "echo_disk", "name": "home", "daily_cost": 10}],
    }


def test_answers_are_json(chat: Chat) -> None:
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert json.loads(json.dumps(answer)) == answer


def test_a_workspace_without_a_name_is_called_like_its_template(chat: Chat) -> None:
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer["workspace_name"].startswith("alice/dev-")


def test_parameters_reach_the_build(chat: Chat) -> None:
    with chat.building():
        create_workspace(chat.context(), template_id="dev", parameters={"size": "3"})
    with chat.factory.database.begin() as session:
        given = session.execute(text("SELECT name, value FROM workspace_build_parameters")).all()
    assert [tuple(row) for row in given] == [("size", "3")]


def test_the_owner_is_the_initiator(chat: Chat) -> None:
    with chat.building():
        create_workspace(chat.context(), template_id="dev")
    with chat.factory.database.begin() as session:
        assert session.scalars(select(WorkspaceBuild.initiator_id)).all() == [chat.owner.id]


def test_the_binding_stands_while_the_build_still_waits(chat: Chat) -> None:
    create_workspace(chat.context(SHORT), template_id="dev", name="box")
    assert (chat.look().name, chat.look().status) == ("alice/box", "pending")


def test_a_build_that_takes_too_long_is_an_ordinary_failure(chat: Chat) -> None:
    answer = create_workspace(chat.context(SHORT), template_id="dev")
    assert answer["error"].startswith("workspace build failed: timed out waiting")
    assert set(answer) == {"error", "build_id"}


def test_an_ordinary_failure_has_the_prefix_and_no_code(chat: Chat) -> None:
    chat.template = chat.push({"apply": {"error": "insufficient quota in us-east1"}})
    with chat.building():
        answer = create_workspace(chat.context(), template_id=chat.template.name)
    assert answer == {
        "error": "workspace build failed: insufficient quota in us-east1",
        "build_id": str(chat.look().build_id),
    }


def test_a_quota_refusal_of_a_new_build_has_all_its_keys(factory: Factory, tmp_path: Path) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer == {
        "error_code": "INSUFFICIENT_QUOTA",
        "error": "workspace build failed: insufficient quota: this build costs 10 credits per"
        " day, 0 of the budget of 9 are in use",
        "title": "Workspace quota reached",
        "message": "The workspace could not be created because your workspace quota is full."
        " Delete a workspace you no longer need to free quota."
        " Ask an administrator to raise your group quota allowance.",
        "next_steps": [
            "Delete a workspace you no longer need to free quota.",
            "Ask an administrator to raise your group quota allowance.",
        ],
        "build_id": str(chat.look().build_id),
        "quota": {"credits_consumed": 0, "budget": 9},
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"template_id": "nope"},
            "there is no template 'nope'; the templates of this chat's organization are: dev",
            id="unknown template",
        ),
        pytest.param(
            {"template_id": " "},
            "template_id is required; the templates of this chat's organization are: dev",
            id="no template",
        ),
        pytest.param(
            {"template_id": "a\x00b"},
            "the id of a template contains a null byte or is not valid Unicode text",
            id="null byte in the template",
        ),
        pytest.param(
            {"template_id": "dev", "parameters": {"colour": "red"}},
            'the template has no parameter "colour"; it has "size"',
            id="unknown parameter",
        ),
        pytest.param(
            {"template_id": "dev", "parameters": {"size": "\x00"}},
            "the value of parameter 'size' contains a null byte or is not valid Unicode text",
            id="null byte in a parameter",
        ),
    ],
)
def test_what_cannot_be_created_is_answered_in_one_sentence(
    chat: Chat, given: dict[str, Any], message: str
) -> None:
    assert create_workspace(chat.context(), **given) == {"error": message}


@pytest.mark.parametrize(
    "given",
    [{"template_id": "nope"}, {"template_id": "dev", "parameters": {"colour": "red"}}],
    ids=["unknown template", "unknown parameter"],
)
def test_what_cannot_be_created_leaves_no_workspace(chat: Chat, given: dict[str, Any]) -> None:
    create_workspace(chat.context(), **given)
    assert chat.workspaces() == []


def test_a_template_of_another_organization_is_refused(chat: Chat) -> None:
    other = chat.factory.organization()
    theirs = chat.factory.template(organization=other, created_by=chat.owner)
    answer = create_workspace(chat.context(), template_id=str(theirs.id))
    assert answer == {
        "error": "template belongs to a different organization than this chat;"
        " the templates of this chat's organization are: dev"
    }


def test_a_deleted_template_is_refused(chat: Chat) -> None:
    with chat.factory.database.begin() as session:
        session.get_one(Template, chat.template.id).deleted = True
    answer = create_workspace(chat.context(), template_id=str(chat.template.id))
    assert answer == {
        "error": f"there is no template {str(chat.template.id)!r}; this organization has no"
        " template yet; ask an administrator to push one"
    }


def test_a_template_without_a_version_is_refused(chat: Chat) -> None:
    with chat.factory.database.begin() as session:
        session.get_one(Template, chat.template.id).active_version_id = None
    answer = create_workspace(chat.context(), template_id="dev")
    assert answer == {"error": "template 'dev' has no version that can be built"}


def test_a_version_that_failed_to_import_is_refused(chat: Chat) -> None:
    with chat.factory.database.begin() as session:
        # Past the trigger that keeps finished jobs as they are.
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("UPDATE provisioner_jobs SET error = 'bad HCL'"))
    answer = create_workspace(chat.context(), template_id="dev")
    assert answer["error"].startswith('The provided template version "v1" has failed to import')


def test_a_name_that_is_taken_is_refused(chat: Chat) -> None:
    chat.factory.workspace(owner=chat.owner, template=chat.template, name="box")
    answer = create_workspace(chat.context(), template_id="dev", name="box")
    assert answer == {"error": "user 'alice' already has a workspace 'box'; choose another name"}


def test_a_missing_parameter_is_the_builds_own_failure(chat: Chat) -> None:
    template = chat.push({"parse": {"parameters": [{"name": "region", "required": True}]}})
    with chat.building():
        answer = create_workspace(chat.context(), template_id=template.name)
    assert answer["error"].startswith('workspace build failed: missing parameter: "region"')
    assert "error_code" not in answer


def test_a_suspended_owner_gets_nothing_created(chat: Chat) -> None:
    chat.suspend()
    answer = create_workspace(chat.context(), template_id="dev")
    assert answer == {
        "error": f"chat owner {chat.owner.id} is not active: user 'alice' is suspended;"
        " ask an administrator to activate the account"
    }
    assert chat.workspaces() == []


def test_an_owner_that_does_not_exist_is_refused(chat: Chat) -> None:
    chat.owner = User(id=uuid.uuid4())
    answer = create_workspace(chat.context(), template_id="dev")
    assert answer == {"error": "the owner or the organization of the chat does not exist"}


def test_a_chat_stays_in_its_organization(chat: Chat) -> None:
    chat.ended()
    chat.organization = chat.factory.organization()
    answer = create_workspace(chat.context(), template_id="dev")
    assert answer == {"error": "chat 'chat' belongs to another organization; use another chat"}


def test_a_chat_of_the_same_id_is_another_one_for_another_owner(chat: Chat) -> None:
    chat.ended()
    chat.owner = chat.factory.user(organization=chat.organization, username="bob")
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer["created"] is True


# Creating when the chat has a workspace


def test_a_running_workspace_is_returned(chat: Chat) -> None:
    with chat.building():
        first = create_workspace(chat.context(), template_id="dev")
        again = create_workspace(chat.context(), template_id="dev")
    assert again == {
        "created": False,
        "workspace_name": first["workspace_name"],
        "status": "already_exists",
        "message": "workspace is already running",
        "build_id": first["build_id"],
        "resources": first["resources"],
    }


def test_a_stopped_workspace_is_to_be_started(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)
    assert create_workspace(chat.context(), template_id="dev") == {
        "created": False,
        "workspace_name": f"alice/{workspace.name}",
        "status": "stopped",
        "message": "workspace is stopped; use start_workspace to start it",
    }


def test_a_build_in_progress_is_waited_for(chat: Chat) -> None:
    _, build_id = chat.active()
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert (answer["created"], answer["status"]) == (False, "already_exists")
    assert (answer["message"], answer["build_id"]) == ("workspace build completed", str(build_id))


def test_a_stop_in_progress_ends_in_a_stopped_workspace(chat: Chat) -> None:
    chat.active(Transition.STOP)
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer["status"] == "stopped"


def test_the_failure_of_a_build_in_progress_has_its_own_prefix(chat: Chat) -> None:
    _, build_id = chat.active(template=chat.push({"plan": {"error": "no such image"}}))
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer == {
        "error": "existing workspace build failed: no such image",
        "build_id": str(build_id),
    }


def test_the_quota_refusal_of_a_build_in_progress_says_started(
    factory: Factory, tmp_path: Path
) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    _, build_id = chat.active()
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert answer["error"].startswith("existing workspace build failed: insufficient quota")
    assert answer["message"].startswith("The workspace could not be started because")
    assert (answer["build_id"], answer["quota"]) == (
        str(build_id),
        {"credits_consumed": 0, "budget": 9},
    )


def test_a_build_in_progress_is_noted_on_the_chat(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)
    later = chat.factory.build(workspace)
    create_workspace(chat.context(SHORT), template_id="dev")
    with chat.factory.database.begin() as session:
        assert session.scalars(select(ChatRow.build_id)).one() == later.build_id


@pytest.mark.parametrize(
    ("transition", "status"),
    [
        (Transition.START, JobStatus.FAILED),
        (Transition.START, JobStatus.CANCELED),
        (Transition.STOP, JobStatus.FAILED),
        (Transition.DELETE, JobStatus.SUCCEEDED),
    ],
)
def test_a_workspace_that_is_of_no_use_is_replaced(
    chat: Chat, transition: Transition, status: JobStatus
) -> None:
    old, _ = chat.ended(transition, status=status)
    with chat.building():
        answer = create_workspace(chat.context(), template_id="dev")
    assert answer["created"] is True
    assert chat.look().id != old.id


@TOOLS
def test_a_build_being_canceled_is_waited_for_before_going_on(chat: Chat, tool: str) -> None:
    workspace = chat.bound()
    job = chat.factory.running_build(workspace)
    chat.bind_job(workspace, job.id)
    with chat.factory.database.begin() as session:
        cancel_job(session, job_id=job.id)
    with ThreadPoolExecutor(1) as pool, chat.building():
        answer = pool.submit(call, chat, tool)
        with chat.factory.database.begin() as session:
            finish_cancel_job(
                session, job_id=job.id, lease_token=job.lease_token, result=BuildResult()
            )
        assert "error" not in answer.result(timeout=30)
    assert len(chat.workspaces()) == (2 if tool == "create" else 1)


def test_a_build_being_canceled_makes_no_second_workspace(chat: Chat) -> None:
    workspace = chat.bound()
    job = chat.factory.running_build(workspace)
    chat.bind_job(workspace, job.id)
    with chat.factory.database.begin() as session:
        cancel_job(session, job_id=job.id)
    answer = create_workspace(chat.context(SHORT), template_id="dev")
    assert answer["error"].startswith("existing workspace build failed: timed out waiting")
    assert len(chat.workspaces()) == 1


def test_calls_of_one_chat_at_once_create_one_workspace(chat: Chat) -> None:
    start = threading.Barrier(8)

    def create() -> dict[str, Any]:
        start.wait()
        return create_workspace(chat.context(), template_id="dev")

    with ThreadPoolExecutor(8) as pool, chat.building():
        answers = [future.result() for future in [pool.submit(create) for _ in range(8)]]
    assert len(chat.workspaces()) == 1
    assert sorted(answer["created"] for answer in answers) == [False] * 7 + [True]


def test_who_comes_second_is_not_authorized(chat: Chat) -> None:
    start = threading.Barrier(4)

    def create() -> dict[str, Any]:
        start.wait()
        return create_workspace(chat.context(), template_id="dev")

    with ThreadPoolExecutor(4) as pool, chat.building():
        for future in [pool.submit(create) for _ in range(4)]:
            future.result()
    assert chat.authorization.calls == 1


# Starting


def test_a_chat_without_a_workspace_has_nothing_to_start(chat: Chat) -> None:
    assert start_workspace(chat.context()) == {
        "error": "chat has no workspace; use create_workspace first"
    }


def test_a_deleted_workspace_is_not_started(chat: Chat) -> None:
    chat.ended(Transition.DELETE)
    assert start_workspace(chat.context()) == {
        "error": "workspace was deleted; use create_workspace to make a new one"
    }


def test_a_stopped_workspace_is_started(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer == {
        "started": True,
        "workspace_name": f"alice/{workspace.name}",
        "build_id": str(chat.look().build_id),
        "resources": [{"type": "echo_disk", "name": "home", "daily_cost": 10}],
    }


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELED])
def test_a_workspace_whose_build_did_not_succeed_is_started(chat: Chat, status: JobStatus) -> None:
    chat.ended(status=status)
    with chat.building():
        assert start_workspace(chat.context())["started"] is True


def test_a_running_workspace_needs_no_build(chat: Chat) -> None:
    workspace, _ = chat.ended()
    assert start_workspace(chat.context()) == {
        "started": True,
        "workspace_name": f"alice/{workspace.name}",
        "no_build": True,
        "resources": [],
    }


def test_a_start_in_progress_is_waited_for(chat: Chat) -> None:
    chat.active()
    with chat.building():
        answer = start_workspace(chat.context())
    assert (answer["started"], answer["no_build"]) == (True, True)


def test_a_stop_in_progress_is_waited_for_before_the_start(chat: Chat) -> None:
    _, stop_id = chat.active(Transition.STOP)
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer["started"] is True
    assert answer["build_id"] != str(stop_id)


def test_the_failure_of_an_in_progress_build_has_the_prefix_of_start(chat: Chat) -> None:
    _, build_id = chat.active(template=chat.push({"plan": {"error": "no such image"}}))
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer == {
        "error": "waiting for in-progress build: no such image",
        "build_id": str(build_id),
    }


def test_the_failure_of_a_start_has_its_prefix(chat: Chat) -> None:
    template = chat.push({"start": {"plan": {"error": "insufficient quota in us-east1"}}})
    workspace = chat.bound(template)
    chat.bind_job(workspace, chat.factory.finished_build(workspace, Transition.STOP).id)
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer == {
        "error": "workspace start build failed: insufficient quota in us-east1",
        "build_id": str(chat.look().build_id),
    }


@pytest.mark.parametrize(
    ("prepare", "prefix"),
    [
        pytest.param(
            lambda chat: chat.active(), "waiting for in-progress build: ", id="in progress"
        ),
        pytest.param(
            lambda chat: chat.ended(Transition.STOP), "workspace start build failed: ", id="new"
        ),
    ],
)
def test_a_quota_refusal_of_a_start_is_structured(
    factory: Factory, tmp_path: Path, prepare: Callable[[Chat], object], prefix: str
) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    prepare(chat)
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert answer["error"].startswith(f"{prefix}insufficient quota")
    assert answer["message"].startswith("The workspace could not be started because")
    assert answer["quota"] == {"credits_consumed": 0, "budget": 9}


def test_an_unknown_parameter_of_a_start_is_refused_before_a_build(chat: Chat) -> None:
    chat.ended(Transition.STOP)
    answer = start_workspace(chat.context(), parameters={"colour": "red"})
    assert answer == {"error": 'the template has no parameter "colour"; it has "size"'}


def test_starts_at_once_share_one_build(chat: Chat) -> None:
    workspace, _ = chat.ended(Transition.STOP)
    begin = threading.Barrier(6)

    def start() -> dict[str, Any]:
        begin.wait()
        return start_workspace(chat.context())

    with ThreadPoolExecutor(6) as pool, chat.building():
        answers = [future.result() for future in [pool.submit(start) for _ in range(6)]]
    assert all(answer["started"] for answer in answers)
    with chat.factory.database.begin() as session:
        query = select(WorkspaceBuild.id).where(WorkspaceBuild.workspace_id == workspace.id)
        assert len(session.scalars(query).all()) == 2


# Acting as the owner


@pytest.mark.parametrize(
    ("prepare", "tool"),
    [
        pytest.param(lambda chat: chat.ended(), "create", id="create, running"),
        pytest.param(lambda chat: chat.ended(), "start", id="start, running"),
        pytest.param(lambda chat: chat.ended(Transition.STOP), "create", id="create, stopped"),
        pytest.param(lambda chat: chat.active(), "create", id="create, in progress"),
        pytest.param(lambda chat: chat.active(), "start", id="start, in progress"),
    ],
)
def test_the_fast_paths_work_while_nobody_can_be_authorized(
    chat: Chat, prepare: Callable[[Chat], object], tool: str
) -> None:
    prepare(failing(chat))
    with chat.building():
        answer = call(chat, tool)
    assert "error" not in answer
    assert chat.authorization.calls == 0


def test_creating_is_authorized_once(chat: Chat) -> None:
    with chat.building():
        create_workspace(chat.context(), template_id="dev")
    assert chat.authorization.owners == [chat.owner.id]


def test_starting_is_authorized_once(chat: Chat) -> None:
    chat.ended(Transition.STOP)
    with chat.building():
        start_workspace(chat.context())
    assert chat.authorization.owners == [chat.owner.id]


@pytest.mark.parametrize(
    ("prepare", "tool", "calls"),
    [
        pytest.param(lambda _chat: None, "create", 2, id="create"),
        pytest.param(lambda chat: chat.active(), "create", 1, id="create, in progress"),
        pytest.param(lambda chat: chat.ended(Transition.STOP), "start", 2, id="start"),
        pytest.param(lambda chat: chat.active(), "start", 1, id="start, in progress"),
    ],
)
def test_the_quota_look_up_is_authorized_once_more(
    factory: Factory,
    tmp_path: Path,
    prepare: Callable[[Chat], object],
    tool: str,
    calls: int,
) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    prepare(chat)
    with chat.building():
        call(chat, tool)
    assert chat.authorization.calls == calls


def test_an_ordinary_failure_looks_up_no_quota(chat: Chat) -> None:
    chat.active(template=chat.push({"plan": {"error": "no such image"}}))
    with chat.building():
        start_workspace(chat.context())
    assert chat.authorization.calls == 0


def test_an_owner_who_cannot_be_authorized_gets_nothing_created(chat: Chat) -> None:
    answer = create_workspace(failing(chat).context(), template_id="dev")
    assert answer == {"error": "load user authorization: no answer"}
    assert chat.workspaces() == []


def test_an_owner_who_cannot_be_authorized_gets_nothing_started(chat: Chat) -> None:
    chat.ended(Transition.STOP)
    answer = start_workspace(failing(chat).context())
    assert answer == {"error": "load user authorization: no answer"}
    assert chat.look().is_stopped


def test_a_suspended_owner_gets_nothing_started(chat: Chat) -> None:
    chat.ended(Transition.STOP)
    chat.suspend()
    answer = start_workspace(chat.context())
    assert answer["error"].startswith(f"chat owner {chat.owner.id} is not active")


def _authorize(chat: Chat) -> object:
    with chat.factory.database.begin() as session:
        return StoredAuthorization().authorize(
            session, owner_id=chat.owner.id, organization_id=chat.organization.id
        )


def test_an_owner_is_loaded_with_roles_and_groups(chat: Chat) -> None:
    chat.factory.group(organization=chat.organization, name="team", members=[chat.owner])
    with chat.factory.database.begin() as session:
        session.execute(update(User).values(rbac_roles=["template-admin"]))
        session.execute(text("UPDATE organization_members SET roles = ARRAY['auditor']"))
    owner: Any = _authorize(chat)
    assert (owner.roles, owner.groups) == (("template-admin", "auditor"), ("Everyone", "team"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"status": UserStatus.DORMANT}, "is not active: user 'alice' is dormant"),
        pytest.param({"deleted": True}, "is not active: user 'alice' was deleted"),
    ],
    ids=["dormant", "deleted"],
)
def test_who_is_not_active_is_not_authorized(
    chat: Chat, change: dict[str, Any], message: str
) -> None:
    with chat.factory.database.begin() as session:
        session.execute(update(User).where(User.id == chat.owner.id).values(**change))
    with pytest.raises(AuthorizationError, match=message):
        _authorize(chat)


def test_who_is_no_member_is_not_authorized(chat: Chat) -> None:
    chat.organization = chat.factory.organization()
    with pytest.raises(AuthorizationError, match="is not a member of this organization"):
        _authorize(chat)


def test_who_does_not_exist_is_not_authorized(chat: Chat) -> None:
    chat.owner = User(id=uuid.uuid4())
    with pytest.raises(AuthorizationError, match="load user authorization: there is no user"):
        _authorize(chat)


# Quota figures


def test_a_failing_quota_look_up_leaves_the_figures_out(factory: Factory, tmp_path: Path) -> None:
    chat = failing(make_chat(factory, tmp_path, allowance=9))
    chat.active()
    with chat.building():
        answer = start_workspace(chat.context())
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert "quota" not in answer


def test_a_quota_look_up_that_hangs_leaves_the_figures_out(
    factory: Factory, tmp_path: Path
) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    release = threading.Event()
    chat.authorization = CountingAuthorization(before=lambda: _wait(release))
    chat.active()
    with chat.building():
        try:
            settings = replace(FAST, quota_timeout=timedelta(milliseconds=50))
            answer = start_workspace(chat.context(settings))
        finally:
            release.set()
            _finish_look_ups()
    assert answer["error_code"] == "INSUFFICIENT_QUOTA"
    assert "quota" not in answer


def _finish_look_ups() -> None:
    """Wait for look-ups that nobody waits for any more: they still hold a connection."""
    for thread in threading.enumerate():
        if thread.name == "quota-figures":
            thread.join(timeout=30)


def _wait(release: threading.Event) -> None:
    assert release.wait(30), "nobody released the look-up"


def test_a_quota_look_up_that_waits_for_the_database_gives_up(chat: Chat) -> None:
    _, build_id = chat.ended(**REFUSED)
    context = chat.context(replace(FAST, quota_timeout=timedelta(milliseconds=50)))
    with chat.factory.database.begin() as session:
        session.execute(text("LOCK TABLE organization_members IN ACCESS EXCLUSIVE MODE"))
        figures = look_up_figures(context, build_id)
    _finish_look_ups()
    assert figures is None


def test_the_figures_are_those_of_the_decision(factory: Factory, tmp_path: Path) -> None:
    chat = make_chat(factory, tmp_path, allowance=9)
    _, build_id = chat.active()
    chat.build_next()
    with chat.factory.database.begin() as session:
        session.execute(text("UPDATE groups SET quota_allowance = 100"))
    assert look_up_figures(chat.context(), build_id) == WorkspaceQuota(credits_consumed=0, budget=9)


def test_without_a_decision_the_figures_are_those_of_now(chat: Chat) -> None:
    chat.factory.finished_build(chat.bound())
    with chat.factory.database.begin() as session:
        session.execute(text("UPDATE workspace_builds SET daily_cost = 40"))
    _, build_id = chat.ended(**REFUSED)
    assert look_up_figures(chat.context(), build_id) == WorkspaceQuota(
        credits_consumed=40, budget=40
    )
