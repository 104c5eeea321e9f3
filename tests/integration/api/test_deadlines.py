"""The deadlines of workspaces over the HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.schema.tables import User
from tests.harness.api import shapes
from tests.harness.api.client import Client
from tests.harness.api.door import Door

HOUR_MS = 3_600_000


@pytest.fixture
def box(door: Door, alice: User, owner: User, member: Client) -> str:
    """The path of alice's workspace, which runs for 8 hours."""
    template = door.factory.template(organization=door.organization, created_by=owner)
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace)
    path = f"workspaces/{workspace.id}"
    assert member.send("PUT", f"{path}/ttl", json={"ttl_ms": 8 * HOUR_MS}).status_code == 204
    door.factory.finished_build(workspace)
    return path


def deadline(client: Client, path: str) -> Any:
    return client.send("GET", path).json()["latest_build"].get("deadline")


def test_a_deadline_is_extended(member: Client, box: str) -> None:
    until = datetime.now(UTC) + timedelta(hours=30)
    answer = member.send("PUT", f"{box}/extend", json={"deadline": until.isoformat()})
    assert (answer.status_code, answer.json()["message"].startswith("Deadline updated")) == (
        200,
        True,
    )
    assert datetime.fromisoformat(deadline(member, box)) == until


def test_a_deadline_that_is_too_near_is_refused(member: Client, box: str) -> None:
    now = datetime.now(UTC).isoformat()
    answer = member.send("PUT", f"{box}/extend", json={"deadline": now})
    assert (answer.status_code, answer.json()["validations"][0]["field"]) == (400, "deadline")


def test_no_time_to_live_ends_the_deadline(member: Client, box: str) -> None:
    assert deadline(member, box) is not None
    assert member.send("PUT", f"{box}/ttl", json={"ttl_ms": None}).status_code == 204
    assert deadline(member, box) is None
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert member.send("PUT", f"{box}/extend", json={"deadline": later}).status_code == 409


def test_only_who_may_change_a_workspace_uses_it(door: Door, member: Client, box: str) -> None:
    auditor = door.client(door.user("organization-auditor"))
    assert member.send("POST", f"{box}/usage").status_code == 204
    assert auditor.send("POST", f"{box}/usage").status_code in {403, 404}


def test_a_template_says_how_long_new_workspaces_run(
    door: Door, admin: Client, owner: User
) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner)
    path = f"templates/{template.id}"
    times = {"default_ttl_ms": 8 * HOUR_MS, "activity_bump_ms": 0}
    changed = shapes.TEMPLATE(admin.send("PATCH", path, json=times).json(), path)
    assert {name: changed[name] for name in times} == times
