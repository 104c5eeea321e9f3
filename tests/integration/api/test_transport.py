"""What holds for every route: paths, tokens, errors, headers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from db.catalog.people import set_user_status
from db.catalog.tokens import revoke_token
from db.schema.enums import TokenScope, UserStatus
from db.schema.tables import User
from tests.harness.api.client import AnswerError, Client
from tests.harness.api.door import Door
from tests.harness.api.shapes import KEY, MESSAGE, USER, USERS


def refused(client: Client, path: str, method: str = "GET", **options: object) -> AnswerError:
    with pytest.raises(AnswerError) as caught:
        client.ask(method, path, MESSAGE, status=299, **options)
    return caught.value


def test_a_route_is_found_with_a_slash_at_its_end_and_with_doubled_slashes(admin: Client) -> None:
    for path in ("/api/v2/users/me", "/api/v2/users/me/", "/api//v2///users/me//"):
        assert USER(admin.send("GET", path).json(), path)["username"] == "ada"


def test_an_unknown_route_is_answered_in_json(admin: Client) -> None:
    error = refused(admin, "no/such/route")
    assert (error.status, error.message) == (404, "Route not found.")


def test_every_answer_has_the_header_of_the_build_version(door: Door) -> None:
    for path in ("/healthz", "/api/v2/users/first", "/api/v2/users/me", "/api/v2/none"):
        assert httpx.get(door.url + path).headers["X-Coder-Build-Version"] == "v0.0.0"


@pytest.mark.parametrize(
    "place",
    [
        {"headers": {"Coder-Session-Token": "{}"}},
        {"headers": {"Authorization": "Bearer {}"}},
        {"headers": {"Cookie": "coder_session_token={}"}},
        {"params": {"coder_session_token": "{}"}},
        {"params": {"access_token": "{}"}},
    ],
)
def test_a_token_counts_wherever_clients_send_it(
    door: Door, owner: User, place: dict[str, dict[str, str]]
) -> None:
    token = door.token(owner)
    given = {
        kind: {name: value.format(token) for name, value in pairs.items()}
        for kind, pairs in place.items()
    }
    answer = httpx.get(f"{door.url}/api/v2/users/me", **given)  # type: ignore[arg-type]
    assert answer.json()["username"] == "ada"


def test_a_page_of_another_site_cannot_use_the_cookie(door: Door, owner: User) -> None:
    headers = {"Cookie": f"coder_session_token={door.token(owner)}", "Sec-Fetch-Site": "cross-site"}
    answer = httpx.post(f"{door.url}/api/v2/users/me/keys", headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        ("", "must be provided"),
        ("nonsense", "Invalid API key format"),
        ("aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb", "API key is invalid."),
        ("aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb-c", "Invalid API key format"),
    ],
)
def test_a_request_without_a_valid_token_is_signed_out(door: Door, token: str, detail: str) -> None:
    error = refused(door.client_of(token), "users/me")
    assert error.status == 401
    assert error.message.startswith("You are signed out")
    assert detail in error.detail


def test_an_expired_token_is_refused(door: Door, owner: User) -> None:
    error = refused(door.client_of(door.expired(owner)), "users/me")
    assert error.status == 401
    assert "API key expired at" in error.detail


def test_a_revoked_token_is_refused_with_the_session_that_it_made(door: Door, owner: User) -> None:
    first = door.client(owner)
    second = door.client_of(first.ask("POST", "users/me/keys", KEY, status=201)["key"])
    assert second.get("users/me", USER)["username"] == "ada"
    with door.factory.database.begin() as session:
        revoke_token(session, first.token.partition("-")[0])
    assert refused(first, "users/me").status == 401
    assert refused(second, "users/me").status == 401


def test_a_suspended_user_is_refused_at_once(door: Door, owner: User, admin: Client) -> None:
    assert admin.get("users/me", USER)
    with door.factory.database.begin() as session:
        set_user_status(session, session.get_one(User, owner.id), UserStatus.SUSPENDED)
    error = refused(admin, "users/me")
    assert (error.status, "suspended" in error.message) == (401, True)


def test_a_token_does_only_what_its_scope_includes(door: Door, owner: User) -> None:
    client = door.client(owner, scope=TokenScope.READ)
    assert client.get("users/me", USER)
    body = {"lifetime": 0, "token_name": "t"}
    assert refused(client, "users/me/keys/tokens", "POST", body=body).status == 403


def test_an_id_that_is_not_a_uuid_is_refused(admin: Client) -> None:
    error = refused(admin, "workspaces/nonsense")
    assert (error.status, error.message) == (400, 'Invalid UUID "nonsense".')


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "users", {"json": {"username": "bob", "email": "a\x00b"}}),
        ("GET", "users?q=a%00b", {}),
        ("GET", "workspaces?q=param:a%00b", {}),
        ("GET", "users/a%00b", {}),
    ],
)
def test_a_text_with_a_nul_is_refused(
    admin: Client, method: str, path: str, options: dict[str, Any]
) -> None:
    assert admin.send(method, path, **options).status_code in {400, 404}


def test_users_are_listed_in_pages(door: Door, owner: User, admin: Client) -> None:
    for name in ("bob", "carol", "dora"):
        door.user(name=name)
    names: list[str] = []
    after = ""
    while page := admin.get(f"users?limit=2{after}", USERS)["users"]:
        names += [user["username"] for user in page]
        after = f"&after_id={page[-1]['id']}"
    assert names == sorted(names)
    assert {"ada", "bob", "carol", "dora"} <= set(names)


def test_a_body_that_is_not_json_is_refused(admin: Client) -> None:
    headers = {**admin.headers, "Content-Type": "application/json"}
    answer = admin.http.post("/api/v2/users/me/workspaces", content=b"{", headers=headers)
    assert answer.status_code == 400
    assert MESSAGE(answer.json(), "")["message"] == "Request body must be valid JSON."


def test_what_does_not_exist_and_what_is_hidden_look_alike(door: Door, member: Client) -> None:
    stranger = door.factory.any_workspace()
    door.factory.build(stranger)
    hidden, missing = (refused(member, f"workspaces/{id_}") for id_ in (stranger.id, uuid.uuid4()))
    assert (hidden.status, hidden.message) == (missing.status, missing.message)
    assert hidden.status == 404


def test_a_body_that_is_too_large_is_refused(admin: Client) -> None:
    error = refused(admin, "users", "POST", body={"email": "x" * 2_000_000, "username": "u"})
    assert error.status == 413


def test_requests_beyond_the_rate_are_refused(door: Door, owner: User) -> None:
    door.site.rate._limit = 3
    client = door.client(owner)
    for _ in range(3):
        client.get("users/me", USER)
    assert refused(client, "users/me").status == 429


BLANK = (
    "workspaces/{workspace}?include_deleted=",
    "users/{user}/workspace/box?include_deleted=",
    "workspaces?q=&limit=&offset=&after_id=",
    "templates/{template}/versions?include_archived=",
    "workspaces/{workspace}/builds?since=&after_id=",
    "organizations/acme/provisionerjobs?limit=&status=&ids=&tags=&initiator=",
    "organizations/acme/provisionerdaemons?limit=&offline=&status=&max_age=",
    "users/me/keys/tokens?include_all=&include_expired",
)


def test_a_query_parameter_without_a_value_is_none(admin: Client, known: Mapping[str, str]) -> None:
    found = {path: admin.send("GET", path.format_map(known)).status_code for path in BLANK}
    assert found == dict.fromkeys(BLANK, 200)


def test_a_body_that_cannot_be_read_is_not_json(admin: Client) -> None:
    headers = {**admin.headers, "Content-Type": "application/json"}
    for body in (b"{", b"\xff", b"[" * 5000):
        answer = admin.http.post("/api/v2/users", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["message"] == "Request body must be valid JSON."


def test_a_user_becomes_a_member_of_each_organization_that_is_named(
    door: Door, admin: Client
) -> None:
    homes = [str(door.organization.id), str(door.factory.organization(name="other").id)]
    body = {"username": "bob", "email": "bob@example.test", "organization_ids": homes}
    made = admin.ask("POST", "users", USER, status=201, body=body)
    assert sorted(made["organization_ids"]) == sorted(homes)
