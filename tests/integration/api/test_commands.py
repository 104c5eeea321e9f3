"""Commands of Coder outside the life of a workspace: their calls, decoded as strictly as by Go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.schema.tables import User
from tests.harness.api import shapes
from tests.harness.api.client import AnswerError, Client
from tests.harness.api.door import Door
from tests.harness.api.strict import Decoder, UndecodableError, many

Call = tuple[str, str, int, Decoder | None, Any]
ORGANIZATIONS = many(shapes.ORGANIZATION)
VERSION = "organizations/{organization_id}/templates/dev/versions/v1"


def get(path: str, shape: Decoder) -> Call:
    return "GET", path, 200, shape, None


COMMANDS: Mapping[str, Sequence[Call]] = {
    "organizations list": [get("organizations", ORGANIZATIONS)],
    "organizations show acme": [
        get("users/me/organizations", ORGANIZATIONS),
        get("organizations/acme", shapes.ORGANIZATION),
    ],
    "organizations members list": [
        get("users/me/organizations", ORGANIZATIONS),
        get("organizations/{organization_id}/members/", many(shapes.MEMBER)),
    ],
    "users list": [get("users?q=", shapes.USERS)],
    "users show alice": [
        get("users/alice", shapes.USER),
        get("organizations/{organization_id}", shapes.ORGANIZATION),
    ],
    "users suspend alice": [
        get("users/alice", shapes.USER),
        ("PUT", "users/alice/status/suspend", 200, shapes.USER, None),
    ],
    "templates presets list dev": [
        get("organizations/{organization_id}/templates/dev", shapes.TEMPLATE),
        get("templateversions/{version}", shapes.VERSION),
        get("templateversions/{version}/presets", many(shapes.PRESET)),
    ],
    "templates versions unarchive dev v1": [
        get("organizations/{organization_id}/templates/dev", shapes.TEMPLATE),
        get(VERSION, shapes.VERSION),
        ("POST", "templateversions/{version}/unarchive", 200, None, None),
    ],
    "templates archive dev": [
        get("organizations/{organization_id}/templates", many(shapes.TEMPLATE)),
        ("POST", "templates/{template}/versions/archive", 200, shapes.ARCHIVED, {"all": True}),
    ],
    "tokens create --name laptop": [
        get("users/me/keys/tokens/tokenconfig", shapes.TOKEN_CONFIG),
        ("POST", "users/me/keys/tokens", 201, shapes.KEY, {"lifetime": 0, "token_name": "laptop"}),
    ],
    "tokens list": [
        get("users/me/keys/tokens?include_all=false&include_expired=false", many(shapes.TOKEN))
    ],
    "autoupdate box always": [
        get("users/alice/workspace/box?include_deleted=false", shapes.WORKSPACE),
        ("PUT", "workspaces/{workspace}/autoupdates", 204, None, {"automatic_updates": "always"}),
    ],
    "schedule start box": [
        get("users/alice/workspace/box?include_deleted=false", shapes.WORKSPACE),
        (
            *("PUT", "workspaces/{workspace}/autostart", 204, None),
            {"schedule": "CRON_TZ=Europe/Dublin 30 9 * * 1-5"},
        ),
    ],
    "schedule stop box 8h": [
        get("users/alice/workspace/box?include_deleted=false", shapes.WORKSPACE),
        ("PUT", "workspaces/{workspace}/ttl", 204, None, {"ttl_ms": 28_800_000}),
    ],
    "start box, while it is dormant": [
        ("PUT", "workspaces/{workspace}/dormant", 200, shapes.WORKSPACE, {"dormant": True}),
        ("PUT", "workspaces/{workspace}/dormant", 200, shapes.WORKSPACE, {"dormant": False}),
    ],
}


def test_each_command_gets_what_it_decodes(
    door: Door, owner: User, admin: Client, known: Mapping[str, str]
) -> None:
    values = {**known, "organization_id": str(door.organization.id)}
    wrong: dict[str, str] = {}
    for command, calls in COMMANDS.items():
        try:
            for method, path, status, shape, body in calls:
                admin.ask(method, path.format_map(values), shape, status=status, body=body)
        except (AnswerError, UndecodableError) as error:
            wrong[command] = str(error)
    assert wrong == {}
