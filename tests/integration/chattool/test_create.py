"""A new workspace for a chat, built by the echo engine."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from chattool import (
    create_workspace,
)
from db.schema.enums import JobStatus
from db.schema.tables import Template, User, WorkspaceBuild
from tests.harness.answers import QUOTA_REFUSED
from tests.harness.factory import Factory
from tests.integration.chattool.chatting import SHORT, Chat, make_chat


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
    assert answer == {**QUOTA_REFUSED, "build_id": str(chat.look().build_id)}


REFUSED = {
    "unknown template": (
        {"template_id": "nope"},
        "there is no template 'nope'; the templates of this chat's organization are: dev",
    ),
    "no template": (
        {"template_id": " "},
        "template_id is required; the templates of this chat's organization are: dev",
    ),
    "null byte in the template": (
        {"template_id": "a\x00b"},
        "the id of a template contains a null byte or is not valid Unicode text",
    ),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
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


def test_a_retry_by_the_name_of_the_failed_workspace_is_to_be_a_start(chat: Chat) -> None:
    workspace, _ = chat.ended(status=JobStatus.FAILED)
    answer = create_workspace(chat.context(), template_id="dev", name=workspace.name)
    assert answer == {
        "error": f"user 'alice' already has a workspace {workspace.name!r};"
        " use start_workspace to build it again, or choose another name"
    }


def test_a_missing_parameter_is_the_builds_own_failure(chat: Chat) -> None:
    template = chat.push({"parse": {"parameters": [{"name": "region", "required": True}]}})
    # Without an import, nobody knows the parameters before a worker reads the files.
    chat.factory.forget_import(template.id)
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
