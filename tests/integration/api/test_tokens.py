"""Tokens over the HTTP API, as ``coder tokens`` manages them."""

from __future__ import annotations

import pytest

from db.schema.enums import TokenScope
from db.schema.tables import User
from tests.harness.api import shapes
from tests.harness.api.client import Client, refused
from tests.harness.api.door import Door


def test_a_token_is_found_by_its_name_and_by_its_id(door: Door, alice: User) -> None:
    text = door.token(alice, name="laptop")
    client = door.client_of(text)
    named = client.get("users/me/keys/tokens/laptop", shapes.TOKEN)
    assert named == client.get(f"users/alice/keys/{text.partition('-')[0]}", shapes.TOKEN)
    assert (named["id"], named["user_id"], named["token_name"]) == (
        text.partition("-")[0],
        str(alice.id),
        "laptop",
    )
    assert text not in str(named)


@pytest.mark.parametrize("path", ["tokens/none", "aaaaaaaaaa", "tokens/of-ada"])
def test_what_the_user_does_not_have_is_not_found(
    door: Door, owner: User, member: Client, path: str
) -> None:
    door.token(owner, name="of-ada")
    assert refused(lambda: member.get(f"users/me/keys/{path}", shapes.TOKEN)).status == 404


def test_a_token_that_is_ended_is_refused_at_once_and_stays_listed(
    door: Door, alice: User, member: Client
) -> None:
    text = door.token(alice, name="laptop")
    token_id = text.partition("-")[0]
    session = door.client_of(
        door.client_of(text).ask("POST", "users/me/keys", shapes.KEY, status=201)["key"]
    )
    member.ask("PUT", f"users/me/keys/{token_id}/expire", status=204)
    for client in (door.client_of(text), session):
        assert "expired" in refused(lambda: client.get("users/me", shapes.USER)).detail  # noqa: B023
    assert member.get(f"users/me/keys/{token_id}", shapes.TOKEN)["token_name"] == "laptop"


def test_a_narrow_token_ends_itself_and_no_other(door: Door, alice: User) -> None:
    text, other = door.token(alice, scope=TokenScope.BUILD), door.token(alice)
    client = door.client_of(text)
    for method, suffix in (("DELETE", ""), ("PUT", "/expire")):
        path = f"users/me/keys/{other.partition('-')[0]}{suffix}"
        assert client.send(method, path).status_code == 403
    client.ask("DELETE", f"users/me/keys/{text.partition('-')[0]}", status=204)
    assert door.client_of(other).send("GET", "users/me").status_code == 200
