"""The audit log on the command line."""

from __future__ import annotations

import pytest

from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine


@pytest.fixture
def changed(run: CommandLine, factory: Factory) -> None:
    """Two workspaces, each of which somebody has deleted as an orphan."""
    home = factory.organization(name="default")
    owner = factory.user(organization=home, username="alice")
    template = factory.template(organization=home, created_by=owner)
    for name in ("box", "lab"):
        factory.workspace(owner=owner, template=template, name=name)
        deleted = run("workspace", "delete", name, "--owner", "alice", "--orphan", "--as", "alice")
        assert deleted.exit_code == 0, deleted.output


@pytest.mark.usefixtures("changed")
def test_changes_are_listed_with_the_newest_first(run: CommandLine) -> None:
    rows = run.json("audit", "list")
    assert [(row["resource_target"], row["username"], row["action"]) for row in rows] == [
        ("alice/lab", "alice", "delete_orphan"),
        ("alice/box", "alice", "delete_orphan"),
    ]
    assert rows[0]["organization"] == "default"


@pytest.mark.usefixtures("changed")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--target", "alice/box"], 1),
        (["--user", "alice"], 2),
        (["--user", "bob"], 0),
        (["--action", "delete_orphan", "--since", "1h"], 2),
        (["--action", "push_state"], 0),
        (["--limit", "1"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_filter_leaves_only_what_it_names(
    run: CommandLine, arguments: list[str], found: int
) -> None:
    assert len(run.json("audit", "list", *arguments)) == found


@pytest.mark.usefixtures("changed")
def test_the_table_says_who_changed_what(run: CommandLine) -> None:
    shown = run("audit", "list", "--target", "alice/box").stdout.splitlines()
    assert len(shown) == 2
    assert shown[1].split()[3:7] == ["alice", "delete_orphan", "workspace", "alice/box"]
