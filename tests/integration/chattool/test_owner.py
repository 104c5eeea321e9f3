"""Acting as the chat's owner: when it is asked for, and who may."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from chattool import (
    AuthorizationError,
    StoredAuthorization,
    create_workspace,
    start_workspace,
)
from db.schema.enums import Transition, UserStatus
from db.schema.tables import User
from tests.harness.factory import Factory
from tests.integration.chattool.chatting import Chat, call, failing, make_chat


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
