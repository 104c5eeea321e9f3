"""Commands that read over the API of a server: the output is that of the same database."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from click.testing import Result

from cli import listing
from tests.integration.cli.deployment import Deployment, deployed
from worker.embedded import Embedded

# Seconds that pass between two commands.
PASSING = re.compile(r'("(?:oldest_s|last_seen_s|seconds)": )[\d.]+|[\d.]+ s\b')
COMMANDS = [
    "jobs list",
    "jobs list --status failed --error-code INSUFFICIENT_QUOTA",
    "jobs list --owner alice --workspace box --queue builds --limit 1",
    "jobs list --before {pending} --limit 2",
    "jobs list --sort-by workspace --no-headers",
    "jobs show {job}",
    "jobs show {failed}",
    "jobs logs {job}",
    "jobs wait {job} {failed}",
    "jobs wait --owner alice --timeout 0",
    "queue",
    "queue explain {pending}",
    "workers",
    "workspace list",
    "workspace list --owner alice",
    "workspace show alice/box",
    "template list",
    "template versions dev",
    "template versions dev --archived --organization default",
    "template show dev",
    "quota show alice",
    "quota show --all",
    "quota forecast alice --cost 4",
    "quota forecast alice --cost 4000 --workspace box",
    "circuits",
    "limits list",
    "audit list",
    "audit list --since 7d --user alice --target alice/old --action delete_orphan",
    "organization list",
    "user list",
    "group list",
    "token list",
    "token list --user alice",
    "webhook list",
]
REFUSED = [
    "jobs list --owner nobody",
    "jobs list --before zz",
    "jobs show ffff",
    "jobs logs xyz",
    "jobs wait ffff",
    "queue explain ffff",
    "workspace list --owner nobody",
    "workspace show nobody/box",
    "workspace show alice/nothing",
    "template versions nothing",
    "template versions dev --organization elsewhere",
    "template show dev --version v9",
    "quota show nobody",
    "quota show --all --organization elsewhere",
    "quota forecast alice --cost 1 --workspace nothing",
    "token list --user nobody",
]


@pytest.fixture(scope="module")
def deployment(
    embedded: Embedded, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Only for tests that change nothing."""
    with deployed(embedded, template_database, tmp_path_factory.mktemp("deployment")) as made:
        yield made


def outcome(result: Result) -> tuple[int, str, str]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, passing_over(result.stdout), passing_over(result.stderr)


def passing_over(output: str) -> str:
    return PASSING.sub(r"\1N", output)


@pytest.mark.parametrize("words", [*COMMANDS, *REFUSED])
def test_the_output_is_that_of_the_database(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    remote = deployment.remote("ada")
    given = words.format_map(deployment.known).split()
    for width, form in ((80, "table"), (160, "table"), (None, "wide"), (None, "json")):
        if form == "wide" and words in REFUSED:
            continue
        monkeypatch.setattr(listing, "terminal_width", lambda width=width: width)
        arguments = [*given, "--output", form]
        local = outcome(deployment.local(*arguments))
        assert outcome(remote(*arguments)) == local, arguments
        assert (local[1] == "") == (words in REFUSED or local[0] == 2)
