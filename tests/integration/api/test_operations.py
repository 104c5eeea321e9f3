"""The routes that Coder does not have."""

from __future__ import annotations

from typing import Any

import pytest

from db.jobs.agents import Agent
from db.jobs.resources import Resource
from db.jobs.results import BuildResult
from db.schema.enums import JobStatus
from db.schema.tables import User
from tests.harness.api import shapes
from tests.harness.api.client import Client
from tests.harness.api.door import Door

TOKEN = "0d4c1a7e-5a51-4a8e-9a51-6b1c8c2f0a11"


def ask(client: Client, path: str, method: str = "GET", status: int = 200) -> Any:
    answer = client.send(method, path)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def failed(door: Door, alice: User, owner: User) -> Any:
    """A failed build of alice's workspace."""
    template = door.factory.template(
        organization=door.organization, created_by=owner, script={"plan": {"daily_cost": 5}}
    )
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    return door.factory.finished_build(workspace, status=JobStatus.FAILED)


def test_a_failed_build_is_retried_as_a_new_build(door: Door, member: Client, failed: Any) -> None:
    path = f"organizations/acme/provisionerjobs/{failed.id}/retry"
    build = shapes.BUILD(ask(member, path, "POST", 201), path)
    assert (build["build_number"], build["transition"], build["status"]) == (2, "start", "pending")
    assert ask(member, path, "POST", 409)["message"] == "The workspace has a later build."


def test_a_waiting_job_is_explained_to_its_owner(
    door: Door, member: Client, admin: Client, failed: Any
) -> None:
    path = f"organizations/acme/provisionerjobs/{failed.id}/retry"
    job_id = ask(member, path, "POST", 201)["job"]["id"]
    found = ask(member, f"organizations/acme/provisionerjobs/{job_id}/explain")
    assert (found["queue_position"], found["verdict"]) == (
        1,
        "0 of 0 workers match: start one with `provisionerd worker`",
    )
    (queue,) = ask(admin, "queues")
    assert (queue["depth"], queue["tags"]["scope"], queue["paused_by"]) == (1, "organization", "")
    assert ask(member, "queues", status=404)


def test_a_forecast_compares_the_cost_of_a_version_with_the_quota(
    door: Door, member: Client, owner: User
) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner)
    path = "organizations/acme/members/me/workspace-quota/forecast"
    found = ask(member, f"{path}?template_version_id={template.active_version_id}")
    assert found == {"daily_cost": 0, "credits_consumed": 0, "budget": 100, "allowed": True}


def test_the_audit_log_says_who_did_what_from_where(
    door: Door, member: Client, admin: Client, failed: Any
) -> None:
    ask(member, f"organizations/acme/provisionerjobs/{failed.id}/retry", "POST", 201)
    (entry,) = ask(admin, "audit?q=action:retry")["audit_logs"]
    assert (entry["username"], entry["resource_target"]) == ("alice", "alice/box")
    assert entry["additional_fields"]["ip"] == "127.0.0.1"
    assert ask(member, "audit", status=404)
    auditor = door.client(door.user("organization-auditor"))
    assert ask(auditor, "audit")["count"] == 1


def test_changes_of_the_audit_log_are_counted_up_to_a_limit(
    door: Door, owner: User, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.reads.audit.COUNTED", 2)
    for name in ("bob", "carol", "dora"):
        body = {"username": name, "email": f"{name}@example.test"}
        admin.ask("POST", "users", shapes.USER, status=201, body=body)
    found = ask(admin, "audit?limit=1")
    assert (len(found["audit_logs"]), found["count"]) == (1, 2)


def test_an_agent_has_no_ports_and_no_log_here(door: Door, alice: User, owner: User) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner)
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    agent = Agent(name="main", token=TOKEN, operating_system="linux", architecture="amd64")
    result = BuildResult(resources=[Resource(type="pod", name="dev", agents=(agent,))])
    door.factory.finished_build(workspace, result=result)
    member, stranger = door.client(alice), door.client(door.user())
    (build,) = [ask(member, "users/me/workspace/box")["latest_build"]]
    (shown,) = shapes.BUILD(build, "build")["resources"][0]["agents"]
    path = f"workspaceagents/{shown['id']}"
    assert ask(member, f"{path}/listening-ports") == {"ports": []}
    assert ask(member, f"{path}/containers?label=x") == {"devcontainers": [], "containers": []}
    assert ask(member, f"{path}/logs") == []
    with member.logs(f"{path}/logs?follow") as lines:
        assert list(lines) == []
    assert ask(stranger, f"{path}/logs", status=404)
    assert TOKEN not in member.send("GET", "users/me/workspace/box").text
