"""Plans from the command line: what a start would do and cost, and what the quota says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cli.building import REFUSED_BY_QUOTA
from db.schema.enums import ProvisionerType
from db.schema.tables import Organization, User
from tests.harness.factory import Factory, tar_archive
from tests.integration.cli.commandline import CommandLine, Unchanged, refused

PLAN = ("workspace", "plan", "box", "--owner", "alice")
NEW = (*PLAN, "--template", "dev")
CREATE = ("workspace", "create", "box", "--template", "dev", "--owner", "alice")
SIZED = b"""
variable "parameter_size" { default = "1" }
resource "terraform_data" "home" {}
resource "terraform_data" "dev" {
  triggers_replace = var.parameter_size
  input            = { daily_cost = tonumber(var.parameter_size) }
}
"""


@pytest.fixture(autouse=True)
def server(factory: Factory, home: Organization, alice: User) -> None:
    """The template dev: a server for 4 credits per day."""
    push(factory, home, alice, "dev", 4)


def push(factory: Factory, home: Organization, alice: User, name: str, cost: int) -> None:
    server = {"type": "echo_server", "name": "dev", "daily_cost": cost}
    script: Mapping[str, Any] = {
        "plan": {"logs": [{"output": "all is well"}]},
        "apply": {"resources": [server]},
    }
    factory.template(organization=home, created_by=alice, name=name, script=script)


def test_a_plan_of_a_new_workspace_says_what_it_would_do_and_cost(
    run: CommandLine, builds_are_run: None
) -> None:
    result = run(*NEW)
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["RESOURCE", "ACTION", "DAILY", "COST"],
        ["echo_server.dev", "create", "4"],
        [],
        ["Daily", "cost", "4"],
        ["Budget", "10"],
        ["Consumed", "0", "by", "other", "workspaces"],
        ["The", "quota", "of", "alice", "would", "permit", "this", "build", "now."],
    ]
    assert "==> Planning Infrastructure\nall is well\n" in result.stderr


def test_a_plan_makes_no_workspace(run: CommandLine, builds_are_run: None) -> None:
    run(*NEW)
    assert run.json("workspace", "list") == []


def test_a_plan_that_the_quota_would_refuse_ends_with_status_3(
    run: CommandLine, factory: Factory, home: Organization, alice: User, builds_are_run: None
) -> None:
    push(factory, home, alice, "large", 11)
    result = run(*PLAN, "--template", "large", "--output", "json")
    assert result.exit_code == REFUSED_BY_QUOTA
    assert json.loads(result.stdout)["quota"] == {
        "ok": False,
        "budget": 10,
        "credits_consumed": 0,
        "daily_cost": 11,
    }


def test_a_plan_that_fails_ends_with_status_1(
    run: CommandLine, factory: Factory, home: Organization, alice: User, builds_are_run: None
) -> None:
    factory.template(
        organization=home,
        created_by=alice,
        name="broken",
        script={"plan": {"error": "no such flavor"}},
    )
    result = run(*PLAN, "--template", "broken")
    assert result.exit_code == 1
    assert "Error: the dry run of box failed: no such flavor" in result.stderr


def test_a_workspace_that_does_not_exist_needs_a_template(
    run: CommandLine, nothing_changes: Unchanged
) -> None:
    with nothing_changes():
        refused(run(*PLAN), "has no workspace 'box'")


def test_a_parameter_that_would_replace_a_resource_is_seen_before_the_build(
    run: CommandLine, factory: Factory, home: Organization, alice: User, imports_are_run: None
) -> None:
    factory.template(
        organization=home,
        created_by=alice,
        name="sized",
        archive=tar_archive({"main.tf": SIZED}),
        provisioner=ProvisionerType.TERRAFORM,
    )
    create = ("workspace", "create", "box", "--template", "sized", "--owner", "alice")
    assert run(*create).exit_code == 0
    planned = run.json(*PLAN, "--param", "size=3")
    assert {found["address"]: found["action"] for found in planned["changes"]} == {
        "terraform_data.dev": "replace",
        "terraform_data.home": "no-op",
    }
    built = run.json("workspace", "start", "box", "--owner", "alice", "--param", "size=3")
    assert (planned["daily_cost"], built["daily_cost"]) == (3, 3)


@pytest.mark.parametrize(("cost", "status"), [("10", 0), ("11", REFUSED_BY_QUOTA)])
def test_a_forecast_says_whether_a_cost_would_fit(run: CommandLine, cost: str, status: int) -> None:
    result = run("quota", "forecast", "alice", "--cost", cost)
    assert result.exit_code == status
    assert ("would refuse" in result.stdout) == (status == REFUSED_BY_QUOTA)


def test_a_forecast_of_a_workspace_leaves_its_own_cost_out(
    run: CommandLine, builds_are_run: None
) -> None:
    assert run(*CREATE).exit_code == 0
    found = run.json("quota", "forecast", "alice", "--cost", "10", "--workspace", "box")
    assert (found["ok"], found["credits_consumed"]) == (True, 0)
