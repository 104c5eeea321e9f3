"""How much one owner or one chat may have, and whose workspaces are built at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from db.catalog.chats import ChatKey, bind_chat, open_chat
from db.catalog.limits import NO_CHAT, Limit, read_limits, set_limit
from db.catalog.workspaces import create_workspace
from db.engine import Database
from db.errors import LimitReachedError, OwnerInactiveError
from db.jobs.retention import Pruned, Retention, prune
from db.schema.enums import Transition, UserStatus
from db.schema.tables import Chat, Template, User, Workspace
from tests.harness.factory import Factory
from worker.enqueue import enqueue_build

MONTH = timedelta(days=31)


@pytest.fixture
def template(factory: Factory) -> Template:
    organization = factory.organization()
    return factory.template(
        organization=organization, created_by=factory.user(organization=organization)
    )


@pytest.fixture
def owner(factory: Factory) -> User:
    return factory.user()


def limit(factory: Factory, name: Limit, allowed: int | None) -> None:
    with factory.database.begin() as session:
        set_limit(session, name, allowed)


def make(
    factory: Factory, owner: User, template: Template, name: str, chat_id: str | None = None
) -> Workspace:
    with factory.database.begin() as session:
        return create_workspace(session, owner=owner, template=template, name=name, chat_id=chat_id)


def change(factory: Factory, owner: User, **columns: object) -> None:
    with factory.database.begin() as session:
        found = session.get_one(User, owner.id)
        for name, value in columns.items():
            setattr(found, name, value)


def delete(factory: Factory, workspace: Workspace) -> None:
    with factory.database.begin() as session:
        session.get_one(Workspace, workspace.id).deleted = True


def test_nothing_is_limited_but_chats_and_failures(factory: Factory) -> None:
    with factory.database.begin() as session:
        limits = read_limits(session)
    assert {name for name, allowed in limits.items() if allowed is not None} == {
        Limit.WORKSPACES_PER_CHAT,
        Limit.WORKSPACES_OF_AGENTS,
        Limit.AUTOMATIC_FAILURES,
    }


def test_an_owner_gets_no_more_workspaces_than_the_limit(
    factory: Factory, owner: User, template: Template
) -> None:
    limit(factory, Limit.WORKSPACES_PER_OWNER, 2)
    first = make(factory, owner, template, "a")
    make(factory, owner, template, "b")
    with pytest.raises(LimitReachedError, match="has 2 workspaces, which is the limit") as caught:
        make(factory, owner, template, "c")
    assert (caught.value.limit, caught.value.allowed) == ("workspaces_per_owner", 2)
    make(factory, factory.user(), template, "c")
    delete(factory, first)
    make(factory, owner, template, "c")


def test_a_chat_that_repeats_itself_is_stopped(
    factory: Factory, owner: User, template: Template
) -> None:
    for number in range(5):
        make(factory, owner, template, f"w{number}", chat_id="chat")
    with pytest.raises(LimitReachedError, match="this chat has made 5 workspaces"):
        make(factory, owner, template, "more", chat_id="chat")
    make(factory, owner, template, "other", chat_id="other")
    make(factory, owner, template, "own")


def test_many_chats_of_one_owner_are_stopped_together(
    factory: Factory, owner: User, template: Template
) -> None:
    limit(factory, Limit.WORKSPACES_OF_AGENTS, 2)
    make(factory, owner, template, "a", chat_id="1")
    make(factory, owner, template, "b", chat_id="2")
    with pytest.raises(LimitReachedError, match="agents have made 2 workspaces for this owner"):
        make(factory, owner, template, "c", chat_id="3")


def test_an_agent_without_a_chat_is_stopped_with_the_others(
    factory: Factory, owner: User, template: Template
) -> None:
    limit(factory, Limit.WORKSPACES_PER_CHAT, 1)
    limit(factory, Limit.WORKSPACES_OF_AGENTS, 2)
    make(factory, owner, template, "a", chat_id=NO_CHAT)
    make(factory, owner, template, "b", chat_id=NO_CHAT)
    with pytest.raises(LimitReachedError, match="agents have made 2 workspaces for this owner"):
        make(factory, owner, template, "c", chat_id=NO_CHAT)


def test_a_limit_that_is_off_allows_any_number(
    factory: Factory, owner: User, template: Template
) -> None:
    limit(factory, Limit.WORKSPACES_PER_CHAT, None)
    for number in range(6):
        make(factory, owner, template, f"w{number}", chat_id="chat")


def test_a_limit_holds_when_many_ask_at_once(
    factory: Factory, owner: User, template: Template
) -> None:
    limit(factory, Limit.WORKSPACES_PER_OWNER, 3)

    def try_one(number: int) -> bool:
        try:
            make(factory, owner, template, f"w{number}")
        except LimitReachedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_one, range(8))) == 3


def test_an_owner_gets_no_more_starts_than_the_limit(factory: Factory) -> None:
    limit(factory, Limit.BUILDS_PER_OWNER, 1)
    first = factory.any_workspace()
    second = factory.namesake(first, name="second")
    factory.build(first)
    with pytest.raises(LimitReachedError, match="has 1 unfinished builds"):
        factory.build(second)
    factory.build(second, Transition.STOP)


@pytest.mark.parametrize("status", [UserStatus.SUSPENDED, UserStatus.DORMANT])
def test_nothing_is_started_for_an_owner_who_is_not_active(
    factory: Factory, status: UserStatus
) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace)
    with factory.database.begin() as session:
        owner = session.get_one(User, workspace.owner_id)
    change(factory, owner, status=status)
    with factory.database.begin() as session, pytest.raises(OwnerInactiveError, match=status):
        enqueue_build(
            session,
            workspace_id=workspace.id,
            transition=Transition.START,
            ring=lambda _queue: True,
        )


@pytest.mark.parametrize("transition", [Transition.STOP, Transition.DELETE])
def test_what_a_deleted_owner_has_can_be_ended(factory: Factory, transition: Transition) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace)
    with factory.database.begin() as session:
        owner = session.get_one(User, workspace.owner_id)
    change(factory, owner, deleted=True)
    with pytest.raises(OwnerInactiveError, match="is deleted and cannot build"):
        factory.build(workspace)
    factory.finished_build(workspace, transition)


def opened_chat(factory: Factory, workspace: Workspace, chat_id: str, *, age: timedelta) -> None:
    """Let a chat have been used last that long ago."""
    key = ChatKey(
        owner_id=workspace.owner_id, organization_id=workspace.organization_id, id=chat_id
    )
    with factory.database.begin() as session:
        open_chat(session, key)
        session.execute(
            text("UPDATE chats SET updated_at = now() - :age WHERE id = :id"),
            {"age": age, "id": chat_id},
        )


def chats(database: Database) -> list[str]:
    with database.begin() as session:
        return list(session.scalars(select(Chat.id).order_by(Chat.id)))


def test_a_chat_without_a_workspace_is_deleted_after_a_while(factory: Factory) -> None:
    workspace = factory.any_workspace()
    opened_chat(factory, workspace, "old", age=MONTH)
    opened_chat(factory, workspace, "new", age=timedelta(days=29))
    assert prune(factory.database, Retention(), is_dry_run=True) == Pruned(chats=1)
    assert prune(factory.database, Retention()) == Pruned(chats=1)
    assert chats(factory.database) == ["new"]


def test_a_chat_is_kept_for_as_long_as_its_workspace(factory: Factory) -> None:
    workspace = factory.any_workspace()
    build = factory.build(workspace)
    key = ChatKey(owner_id=workspace.owner_id, organization_id=workspace.organization_id, id="c")
    with factory.database.begin() as session:
        open_chat(session, key)
        bind_chat(session, key, workspace_id=workspace.id, build_id=build.build_id)
    opened_chat(factory, workspace, "c", age=MONTH)
    assert prune(factory.database, Retention()).chats == 0
    delete(factory, workspace)
    assert prune(factory.database, Retention()).chats == 1


def test_a_chat_that_is_used_again_is_kept(factory: Factory) -> None:
    workspace = factory.any_workspace()
    opened_chat(factory, workspace, "c", age=MONTH)
    with factory.database.begin() as session:
        open_chat(
            session,
            ChatKey(owner_id=workspace.owner_id, organization_id=workspace.organization_id, id="c"),
        )
    assert prune(factory.database, Retention()).chats == 0
