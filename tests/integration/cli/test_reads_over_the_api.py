"""Commands that read over the API of a server: the output is that of the same database."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from click.testing import Result

from cli import listing
from tests.harness.canned import answer_of, answering
from tests.integration.cli.commandline import refused
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


# None of them is the name of anything.
TEXTS = ["", " ", ".", "../../x", "a?b=c#d&e", "%2F%s", "é箱\N{PILE OF POO}", "x" * 3000]
NAMING = [
    "jobs show",
    "jobs logs",
    "jobs wait",
    "queue explain",
    "workspace show",
    "template versions",
    "template show",
    "quota show",
    "jobs list --owner",
    "jobs list --workspace",
    "jobs list --queue",
    "jobs list --before",
    "workspace list --owner",
    "token list --user",
    "audit list --user",
    "audit list --target",
]


@pytest.mark.parametrize("words", NAMING)
def test_a_text_that_names_nothing_is_answered_as_by_the_database(
    deployment: Deployment, words: str
) -> None:
    remote = deployment.remote("ada")
    owner = {"owner": "alice"}
    for each in TEXTS:
        given = [*words.split(), each]
        assert outcome(remote(*given, **owner)) == outcome(deployment.local(*given, **owner)), given


def test_a_text_that_cannot_be_sent_is_refused_in_one_sentence(deployment: Deployment) -> None:
    refused(deployment.remote("ada")("quota", "show", "\udcff"), "is not valid Unicode text")


OF_ALICE = {
    "workspace list -o name": "alice/box",
    "user list -o name": "alice",
    "quota show --all": "alice",
    "token list -o json": "alice",
    "organization list -o name": "default",
    "template list -o name": "dev",
}
OF_OTHERS = [
    "jobs show {failed}",
    "jobs logs {failed}",
    "jobs wait {failed}",
    "queue explain {failed}",
    "jobs list --before {failed}",
    "jobs list --owner bob",
    "workspace list --owner bob",
    "workspace show bob/train",
    "quota show bob",
    "quota forecast bob --cost 1",
    "token list --user bob",
]
OF_OPERATORS = {
    "queue": "only template admins of the whole site see the queues",
    "workers": "only template admins see the workers",
    "audit list": "only auditors see the audit log",
    "group list": "only admins and auditors see groups",
}


@pytest.mark.parametrize("words", OF_ALICE)
def test_a_member_sees_its_own_and_nothing_of_other_members(
    deployment: Deployment, words: str
) -> None:
    result = deployment.remote("alice")(*words.split())
    assert result.exit_code == 0, result.output
    assert OF_ALICE[words] in result.stdout
    assert not re.search(r"\b(bob|ada)\b", result.stdout)


def test_a_member_lists_the_jobs_of_its_workspaces(deployment: Deployment) -> None:
    rows = deployment.remote("alice").json("jobs", "list")
    assert [row["id"] for row in rows] == [deployment.known["pending"], deployment.known["job"]]


@pytest.mark.parametrize("words", OF_OTHERS)
def test_what_belongs_to_another_member_does_not_exist(deployment: Deployment, words: str) -> None:
    given = words.format_map(deployment.known).split()
    refused(deployment.remote("alice")(*given), "there is no ")


@pytest.mark.parametrize("words", OF_OPERATORS)
def test_what_is_for_operators_says_for_whom_it_is(deployment: Deployment, words: str) -> None:
    refused(deployment.remote("alice")(*words.split()), f"may not do this: {OF_OPERATORS[words]}")


def test_a_log_is_followed_to_its_end(deployment: Deployment) -> None:
    words = ["jobs", "logs", deployment.known["job"], "--follow", "--tail", "2"]
    local = deployment.local(*words)
    assert local.stdout.splitlines()[-1] == "three"
    assert outcome(deployment.remote("alice")(*words)) == outcome(local)


def test_a_token_that_is_not_valid_is_refused_in_one_sentence(deployment: Deployment) -> None:
    result = deployment.sending("abcdefghij-bbbbbbbbbbbbbbbbbbbbbb")("jobs", "list")
    refused(result, "does not accept the token (API key is invalid); set PROVISIONERD_TOKEN")


def test_an_answer_of_another_form_is_refused_in_one_sentence(deployment: Deployment) -> None:
    with answering(answer_of(200, [{"name": "box"}])) as server:
        result = deployment.remote("ada")("workspace", "list", url=server.url)
    refused(result, "does not answer as `provisionerd serve` does (the answer has another form)")


@pytest.mark.parametrize(
    "words", ["migrate", "prune", "mcp --owner alice", "doctor", "worker", "serve", "exporter"]
)
def test_a_command_that_needs_the_database_says_so(deployment: Deployment, words: str) -> None:
    # With a wrong setting, a daemon that does not say so ends, too.
    wrong = {"concurrency": "many"} if words in {"worker", "serve", "exporter"} else {}
    result = deployment.remote("ada")(*words.split(), **wrong)
    refused(result, "does not go over the API: set PROVISIONERD_DATABASE_URL, too")
