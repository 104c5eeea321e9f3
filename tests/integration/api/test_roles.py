"""Every route with every role: who gets an answer, and for whom it does not exist."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

import pytest

from db.schema.enums import TokenScope
from db.schema.tables import User
from tests.harness.api.client import Client
from tests.harness.api.document import read_document
from tests.harness.api.door import Door

DOCUMENT = read_document()
OWN = "/api/v2/provisionerd/"  # what the command line reads
# There is no default organization here, no dry run and no agent, and a watch has no end.
LEFT_OUT = ("/api/v2/workspace-quota/", "/dry-run/", "/workspaceagents/", "/watch/", "/updates/")
READS = sorted(
    path
    for path, found in DOCUMENT["paths"].items()
    if "get" in found and not any(part in f"{path}/" for part in LEFT_OUT)
)
CHANGES = sorted(
    (method.upper(), path)
    for path, found in DOCUMENT["paths"].items()
    for method in found
    if method != "get"
)
PUBLIC = {
    path
    for path, found in DOCUMENT["paths"].items()
    if any(not operation["security"] for operation in found.values())
}
OF_EVERYBODY = {  # a user without any role, about itself or about the organization
    "/api/v2/appearance",
    "/api/v2/deployment/ssh",
    "/api/v2/events",
    "/api/v2/webhooks",
    "/api/v2/organizations",
    "/api/v2/templates",
    "/api/v2/templates/examples",
    "/api/v2/users",
    "/api/v2/workspaces",
    *(
        f"{OWN}{name}"
        for name in (
            "circuits", "jobs", "limits", "organizations", "templates", "tokens", "users",
            "webhooks", "workspaces",
        )
    ),
}  # fmt: skip
OF_TEMPLATE_ADMINS = {
    "/api/v2/organizations/{organization}/provisionerdaemons",
    "/api/v2/organizations/{organization}/provisionerjobs",
    "/api/v2/organizations/{organization}/provisionerjobs/{job}",
    "/api/v2/workspacebuilds/{build}/state",
    "/api/v2/files/{file}",
}
OF_OWNERS = {
    "/api/v2/audit",
    "/api/v2/queues",
    "/api/v2/provisionerd/audit",
    "/api/v2/provisionerd/groups",
    "/api/v2/provisionerd/queues",
    "/api/v2/provisionerd/workers",
    "/api/v2/users/{user}/keys/tokens",
    "/api/v2/users/{user}/keys/tokens/{name}",
    "/api/v2/users/{user}/keys/{token}",
}
OF_TEMPLATES = {"/api/v2/templates", "/api/v2/templateversions", "/api/v2/organizations"}


def filled(path: str, known: Mapping[str, str]) -> str:
    if path.startswith(OWN):
        return path + asked(path, {**known, "template": "dev"})
    if "/templates/" in path:
        known = {**known, "name": "dev" if "/versions/" not in path else "v1"}
    if "{template}/versions" in path and "organizations" in path:
        known = {**known, "template": "dev"}
    query = f"?template_version_id={known['version']}" if path.endswith("/forecast") else ""
    return path.format_map(known) + query


def asked(path: str, known: Mapping[str, str]) -> str:
    """The query with the parameters that a question needs."""
    parameters = DOCUMENT["paths"][path].get("get", {}).get("parameters", ())
    return "?" + urlencode(
        {one["name"]: known[one["name"]] for one in parameters if one["required"]}
    )


def statuses(client: Client, known: Mapping[str, str]) -> dict[str, int]:
    return {path: client.send("GET", filled(path, known)).status_code for path in READS}


def test_a_request_without_a_valid_token_gets_nothing(
    door: Door, owner: User, known: Mapping[str, str]
) -> None:
    for token in ("", "aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb", door.expired(owner)):
        client = door.client_of(token)
        assert {path for path, status in statuses(client, known).items() if status != 401} <= PUBLIC
        for method, path in CHANGES:
            status = client.send(method, filled(path, known), json={}).status_code
            assert status in {401, 400} or path in PUBLIC, (method, path, status)


def test_an_owner_of_the_site_reads_everything(admin: Client, known: Mapping[str, str]) -> None:
    refused = {path: s for path, s in statuses(admin, known).items() if s not in {200, 204}}
    assert refused == {"/api/v2/entitlements": 404}


def test_a_member_reads_its_own_and_the_templates(member: Client, known: Mapping[str, str]) -> None:
    hidden = {path for path, status in statuses(member, known).items() if status in {403, 404}}
    of_others = {path for path in OF_OWNERS if "/keys/" not in path}
    assert hidden - {"/api/v2/entitlements"} == OF_TEMPLATE_ADMINS | of_others


def test_another_member_does_not_learn_what_alice_has(door: Door, known: Mapping[str, str]) -> None:
    other = door.client(door.user())
    seen = {path for path, status in statuses(other, known).items() if status in {200, 204}}
    about_alice = {path for path in seen if "{user}" in path or "{workspace}" in path}
    assert about_alice == set()
    assert {path for path in seen if "{build}" in path or "{job}" in path} == set()
    of_members = {f"{OWN}{name}" for name in ("quotas", "template/version", "template/versions")}
    assert {path for path in seen if path.startswith(OWN)} <= OF_EVERYBODY | of_members


def test_a_user_of_another_organization_finds_nothing_of_this_one(
    door: Door, known: Mapping[str, str]
) -> None:
    elsewhere = door.factory.organization(name="elsewhere")
    for roles in ((), ("organization-admin",), ("organization-template-admin",)):
        client = door.client(door.user(*roles, member_of=elsewhere))
        found = statuses(client, known)
        seen = {path for path, status in found.items() if status not in {403, 404}}
        # A list is a list of what the caller may see, and a file is not said to exist.
        own = {f"{OWN}{name}" for name in ("audit", "groups", "workers")}
        allowed = PUBLIC | OF_EVERYBODY | {"/api/v2/audit"} | own
        assert {path for path in seen if path not in allowed} == set(), roles


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("template-admin", "/api/v2/workspacebuilds/{build}/state", "/api/v2/audit"),
        ("organization-template-admin", "/api/v2/workspacebuilds/{build}/state", "/api/v2/audit"),
        ("auditor", "/api/v2/audit", "/api/v2/workspaces/{workspace}"),
        ("organization-auditor", "/api/v2/audit", "/api/v2/workspaces/{workspace}"),
        ("user-admin", "/api/v2/users/{user}", "/api/v2/workspaces/{workspace}"),
        ("organization-user-admin", "/api/v2/users/{user}", "/api/v2/workspaces/{workspace}"),
        ("organization-admin", "/api/v2/workspaces/{workspace}", "/api/v2/queues"),
    ],
)
def test_a_role_reads_what_it_is_for(
    door: Door, known: Mapping[str, str], role: str, may: str, may_not: str
) -> None:
    found = statuses(door.client(door.user(role)), known)
    assert (found[may], found[may_not]) == (200, 404)


def test_no_role_below_owner_changes_what_it_may_not(
    door: Door, known: Mapping[str, str], alice: User
) -> None:
    other = door.client(door.user())
    with door.factory.database.begin() as session:
        before = session.get_one(User, alice.id).updated_at
    for method, path in CHANGES:
        # Every member may dry-run a version that it sees.
        if path in PUBLIC or path.endswith(("/authcheck", "/logout", "/dry-run")):
            continue
        status = other.send(method, filled(path, known), json=BODIES.get(path, {})).status_code
        assert status in {400, 403, 404}, (method, path, status)
    with door.factory.database.begin() as session:
        assert session.get_one(User, alice.id).updated_at == before


BODIES: Mapping[str, object] = {
    "/api/v2/workspaces/{workspace}/builds": {"transition": "delete"},
    "/api/v2/workspaces/{workspace}": {"name": "stolen"},
    "/api/v2/workspaces/{workspace}/autoupdates": {"automatic_updates": "always"},
    "/api/v2/workspaces/{workspace}/dormant": {"dormant": True},
    "/api/v2/templates/{template}/versions": {"id": str(uuid.uuid4())},
    "/api/v2/users/{user}/roles": {"roles": ["owner"]},
    "/api/v2/organizations/{organization}/members/{user}/roles": {"roles": ["organization-admin"]},
    "/api/v2/users": {"email": "e", "username": "mallory"},
    "/api/v2/workspacebuilds/{build}/state": {"state": "e30="},
    "/api/v2/templateversions/{version}": {"name": "stolen"},
}


@pytest.mark.parametrize("scope", [TokenScope.READ, TokenScope.BUILD])
def test_a_narrow_token_of_an_owner_changes_no_user(
    door: Door, owner: User, known: Mapping[str, str], scope: TokenScope
) -> None:
    client = door.client(owner, scope=scope)
    body = {"roles": ["owner"]}
    assert client.send("PUT", "users/alice/roles", json=body).status_code == 403
    body = {"email": "e", "username": "mallory"}  # type: ignore[dict-item]
    assert client.send("POST", "users", json=body).status_code == 403
