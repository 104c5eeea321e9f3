"""Webhooks from the command line."""

from __future__ import annotations

import pytest

from db.schema.tables import User
from tests.integration.cli.commandline import CommandLine, Unchanged, refused


@pytest.fixture
def hook(run: CommandLine, alice: User) -> str:
    """The ID of the only webhook."""
    made = run.json(
        "webhook", "create", "https://example.com/hook", "--user", alice.username, "--as", "alice"
    )
    return str(made["id"])


def test_a_webhook_is_named_by_the_id_that_the_list_shows(run: CommandLine, hook: str) -> None:
    shown = run("webhook", "list", "--no-headers").stdout.split()[0]

    assert hook.startswith(shown)
    assert run("webhook", "delete", shown, "--as", "alice").exit_code == 0
    assert run.json("webhook", "list") == []


@pytest.mark.usefixtures("hook")
@pytest.mark.parametrize("name", ["", "no-such"])
def test_a_webhook_that_is_not_named_is_kept(
    run: CommandLine, nothing_changes: Unchanged, name: str
) -> None:
    with nothing_changes():
        refused(run("webhook", "delete", name), "there is no webhook")
