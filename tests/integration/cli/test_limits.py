"""Limits from the command line."""

from __future__ import annotations

import pytest

from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine, refused


def allowed(run: CommandLine) -> dict[str, int | None]:
    return {row["name"]: row["allowed"] for row in run.json("limits", "list")}


def test_a_limit_is_set_and_turned_off(run: CommandLine) -> None:
    result = run("limits", "set", "workspaces_per_owner", "2")
    assert result.stdout == "workspaces_per_owner was off and is now 2.\n"
    assert allowed(run)["workspaces_per_owner"] == 2
    run("limits", "set", "workspaces_per_chat", "off")
    assert allowed(run)["workspaces_per_chat"] is None
    assert "limit" in run("audit", "list").stdout


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "9999999999"])
def test_a_wrong_number_is_refused(run: CommandLine, number: str) -> None:
    assert run("limits", "set", "builds_per_owner", "--", number).exit_code == 2
    assert allowed(run)["builds_per_owner"] is None


def test_a_workspace_beyond_the_limit_is_refused_by_a_sentence(
    run: CommandLine, factory: Factory
) -> None:
    organization = factory.organization(name="acme")
    owner = factory.user(organization=organization, username="alice")
    factory.template(organization=organization, created_by=owner, name="dev")
    run("limits", "set", "workspaces_per_owner", "0")
    result = run(
        *("workspace", "create", "box", "--template", "dev", "--owner", "alice", "--detach"),
        *("--organization", "acme"),
    )
    refused(result, "the owner has 0 workspaces, which is the limit; delete one first")
