"""Users, groups and organizations from the command line."""

from __future__ import annotations

import pytest

from db.catalog.people import EVERYONE
from db.engine import Database
from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine, Unchanged, refused


def test_the_first_user_makes_the_default_organization(run: CommandLine) -> None:
    assert run("user", "create", "alice").exit_code == 0

    assert [
        (row["name"], row["is_default"], row["members"]) for row in run.json("organization", "list")
    ] == [("default", True, 1)]


def test_a_user_that_cannot_be_created_leaves_no_organization_behind(
    run: CommandLine, nothing_changes: Unchanged
) -> None:
    with nothing_changes():
        refused(run("user", "create", "not a name"), "cannot name a user")


def test_the_second_user_joins_the_organization_that_is_there(run: CommandLine) -> None:
    run("user", "create", "alice")
    run("user", "create", "bob")

    assert [row["organizations"] for row in run.json("user", "list")] == [["default"], ["default"]]


def test_a_user_is_created_in_the_organization_that_is_named(run: CommandLine) -> None:
    run("organization", "create", "first")
    run("organization", "create", "second")

    run("user", "create", "alice", "--organization", "second")

    assert run.json("user", "list")[0]["organizations"] == ["second"]


def test_only_the_first_organization_is_the_default(run: CommandLine) -> None:
    run("organization", "create", "first")
    run("organization", "create", "second", "--allowance", "7")

    rows = run.json("organization", "list")

    assert [(row["name"], row["is_default"], row["everyone_allowance"]) for row in rows] == [
        ("first", True, 0),
        ("second", False, 7),
    ]


def test_suspending_and_activating_changes_the_status(run: CommandLine) -> None:
    run("user", "create", "alice")

    run("user", "suspend", "alice")
    suspended = run.json("user", "list")[0]["status"]
    run("user", "activate", "alice")

    assert (suspended, run.json("user", "list")[0]["status"]) == ("suspended", "active")


def test_a_group_gives_its_members_an_allowance(run: CommandLine) -> None:
    run("user", "create", "alice")
    run("group", "create", "developers", "--allowance", "40")
    run("group", "add", "developers", "alice")
    run("group", "set-allowance", "Everyone", "2")

    shown = run.json("quota", "show", "alice")

    assert (shown["budget"], shown["groups"]) == (
        42,
        [
            {"group": EVERYONE, "quota_allowance": 2},
            {"group": "developers", "quota_allowance": 40},
        ],
    )


def test_removing_a_member_takes_the_allowance(run: CommandLine) -> None:
    run("user", "create", "alice")
    run("group", "create", "developers", "--allowance", "40")
    run("group", "add", "developers", "alice")

    run("group", "remove", "developers", "alice")

    assert run.json("quota", "show", "alice")["budget"] == 0


def test_groups_are_listed_with_their_members(run: CommandLine) -> None:
    run("user", "create", "alice")
    run("group", "create", "developers")

    rows = run.json("group", "list")

    assert [(row["name"], row["members"]) for row in rows] == [
        (EVERYONE, ["alice"]),
        ("developers", []),
    ]


def test_the_quota_table_names_workspaces_and_groups(run: CommandLine, factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=9)
    factory.finished_build(workspace)
    owner = next(row["username"] for row in run.json("user", "list"))

    shown = run("quota", "show", owner).stdout

    assert workspace.name in shown
    assert EVERYONE in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["user", "create", "ALICE"], "already a user", id="user that is there"),
        pytest.param(["user", "create", "a--b"], "cannot name a user", id="bad user name"),
        pytest.param(["user", "suspend", "eve"], "no user 'eve'", id="unknown user"),
        pytest.param(
            ["user", "create", "bob", "--organization", "nowhere"],
            "`provisionerd organization create nowhere` makes one",
            id="unknown organization",
        ),
        pytest.param(["organization", "create", "default"], "already", id="organization there"),
        pytest.param(["group", "create", "g", "--allowance", "-1"], "whole number", id="negative"),
        pytest.param(["group", "add", "nobody", "alice"], "no group 'nobody'", id="unknown group"),
        pytest.param(["group", "add", "Everyone", "alice"], "every member", id="Everyone"),
        pytest.param(
            ["group", "set-allowance", "Everyone", "4294967296"], "whole number", id="too large"
        ),
        pytest.param(["quota", "show", "eve"], "no user 'eve'", id="quota of an unknown user"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(
    run: CommandLine, nothing_changes: Unchanged, arguments: list[str], sentence: str
) -> None:
    run("user", "create", "alice")

    with nothing_changes():
        refused(run(*arguments), sentence)


@pytest.mark.parametrize("kind", ["user", "group", "organization", "template", "workspace", "jobs"])
def test_a_list_of_nothing_is_an_empty_json_array(
    run: CommandLine, database: Database, kind: str
) -> None:
    assert run.json(kind, "list") == []


@pytest.mark.parametrize(
    "command",
    [
        ["workspace", "list", "--owner"],
        ["audit", "list", "--user"],
        ["user", "create", "carol", "--email"],
    ],
    ids=" ".join,
)
def test_an_argument_that_is_no_text_is_refused(run: CommandLine, command: list[str]) -> None:
    """The shell passes any bytes; Python reads those that are no text as surrogates."""
    refused(run(*command, "\udcff"), "is not valid Unicode text")


def test_a_new_token_is_printed_as_yaml_on_request(run: CommandLine) -> None:
    run("user", "create", "alice")
    printed = run("token", "create", "--user", "alice", "-o", "yaml").stdout
    assert printed.startswith("token: ")
