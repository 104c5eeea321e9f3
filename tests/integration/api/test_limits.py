"""Refusals of the API because of a limit or of a suspended owner: one sentence, status 409."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from db.catalog.limits import Limit, set_limit
from db.schema.enums import UserStatus
from db.schema.tables import User, Workspace
from tests.harness.api.client import Client, refused
from tests.harness.api.door import Door


@pytest.fixture
def template_id(door: Door, known: Mapping[str, str]) -> str:
    with door.factory.database.begin() as session:
        return str(session.get_one(Workspace, known["workspace"]).template_id)


def test_a_workspace_beyond_the_limit_is_refused(
    door: Door, member: Client, template_id: str
) -> None:
    with door.factory.database.begin() as session:
        set_limit(session, Limit.WORKSPACES_PER_OWNER, 1)
    body = {"name": "second", "template_id": template_id}
    error = refused(lambda: member.ask("POST", "users/me/workspaces", body=body))
    assert (error.status, error.message) == (
        409,
        "the owner has 1 workspaces, which is the limit; delete one first",
    )


def test_an_administrator_stops_but_does_not_start_for_a_suspended_owner(
    door: Door, admin: Client, alice: User, known: Mapping[str, str]
) -> None:
    with door.factory.database.begin() as session:
        session.get_one(User, alice.id).status = UserStatus.SUSPENDED
    path = f"workspaces/{known['workspace']}/builds"
    error = refused(lambda: admin.ask("POST", path, body={"transition": "start"}))
    assert (error.status, error.message) == (409, "user 'alice' is suspended and cannot build")
    admin.ask("POST", path, body={"transition": "stop"}, status=201)
