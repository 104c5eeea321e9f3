"""The names of what exists, as a shell completes them. No test measures time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from click.testing import CliRunner

import cli.suggestions
from cli.main import cli as provisionerd
from cli.remote.names import find_names
from db.catalog.people import set_site_roles
from db.catalog.tokens import create_token
from db.catalog.webhooks import create_webhook
from db.engine import Database
from db.reads.names import list_names
from db.schema.enums import JobStatus
from db.schema.tables import Organization, Template, User, Workspace
from tests.harness.api.serving import served
from tests.harness.factory import Factory
from tests.harness.threadworker import sign_on
from tests.harness.waiting import DEADLINE_S
from worker.embedded import Embedded

Complete = Callable[..., Sequence[str]]


@pytest.fixture
def complete(environment: Mapping[str, str | None], monkeypatch: pytest.MonkeyPatch) -> Complete:
    """Returns what is offered for the last word; it may take as long as on a busy machine."""
    monkeypatch.setattr(cli.suggestions, "TIME_S", DEADLINE_S)

    def offered(*words: str, **settings: str) -> Sequence[str]:
        asked = {
            "_PROVISIONERD_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["provisionerd", *words]),
            "COMP_CWORD": str(len(words)),
        }
        runner = CliRunner(env={**environment, **asked, **settings})
        result = runner.invoke(provisionerd, prog_name="provisionerd")
        assert (result.exit_code, result.stderr) == (0, "")
        return [line.partition(",")[2] for line in result.stdout.splitlines() if line]

    return offered


@pytest.fixture
def dev(factory: Factory, home: Organization, alice: User) -> Template:
    return factory.template(organization=home, created_by=alice, name="dev")


@pytest.fixture
def box(factory: Factory, alice: User, dev: Template) -> Workspace:
    return factory.workspace(owner=alice, template=dev, name="box")


def test_users_are_offered_whose_names_begin_with_the_word(
    complete: Complete, factory: Factory, alice: User
) -> None:
    for name in ("alfred", "bob"):
        factory.user(username=name)
    assert complete("workspace", "list", "--owner", "Al") == ["alfred", alice.username]


def test_a_workspace_is_offered_with_its_owner(complete: Complete, box: Workspace) -> None:
    assert complete("workspace", "stop", "al") == [f"alice/{box.name}"]


@pytest.mark.parametrize(
    "settings",
    [pytest.param({}, id="option"), pytest.param({"PROVISIONERD_OWNER": "alice"}, id="variable")],
)
def test_a_plain_name_is_offered_for_a_known_owner(
    complete: Complete, box: Workspace, settings: Mapping[str, str]
) -> None:
    owner = () if settings else ("--owner", "alice")
    assert complete("workspace", "stop", *owner, "b", **settings) == [box.name]


def test_only_jobs_that_a_command_takes_are_offered(
    complete: Complete, factory: Factory, box: Workspace
) -> None:
    failed = str(factory.finished_build(box, status=JobStatus.FAILED).id)
    pending = str(factory.build(box).job_id)
    assert complete("jobs", "cancel", "") == [pending[:8]]
    assert complete("jobs", "retry", failed[:3]) == [failed[:8]]
    assert complete("queue", "explain", pending[:9]) == [pending]
    assert complete("queue", "explain", failed[:9]) == []


def test_every_kind_of_name_is_found_in_the_database(
    database: Database, factory: Factory, home: Organization, alice: User, box: Workspace
) -> None:
    factory.group(organization=home, name="staff")
    sign_on(database, "hand")
    with database.begin() as session:
        token = create_token(session, user_id=alice.id)
        webhook = create_webhook(session, url="https://example.com/hook", created_by=alice.id)
    expected = {
        "groups": "staff",
        "jobs": str(factory.build(box).job_id)[:8],
        "organizations": home.name,
        "queues": "builds",
        "templates": "dev",
        "tokens": token.id,
        "users": alice.username,
        "versions": "v1",
        "webhooks": str(webhook.id),
        "workers": "hand",
        "workspaces": "alice/box",
    }
    with database.reading() as connection:
        found = {
            kind: list_names(connection, kind, name[:2].lower(), within="dev")
            for kind, name in expected.items()
        }
    assert {kind: name for kind, [(name, _note)] in found.items()} == expected


def test_at_most_50_names_are_offered(complete: Complete, factory: Factory) -> None:
    for number in range(51):
        factory.user(username=f"u{number}")
    assert len(complete("user", "suspend", "u")) == 50


def test_a_name_that_means_something_to_a_shell_is_not_offered(
    complete: Complete, database: Database
) -> None:
    sign_on(database, "hand;reboot")
    sign_on(database, "hand-2")
    assert complete("workers", "drain", "hand") == ["hand-2"]


def test_a_server_of_the_api_knows_the_same_names(
    database: Database,
    factory: Factory,
    embedded: Embedded,
    box: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pending = str(factory.build(box).job_id)
    sign_on(database, "hand")
    with database.begin() as session:
        set_site_roles(session, session.get_one(User, box.owner_id), ["owner"])
        token = create_token(session, user_id=box.owner_id).text
    expected = {
        "jobs pending": pending,
        "organizations": "default",
        "queues": "builds",
        "templates": "dev",
        "users": "alice",
        "workers": "hand",
        "workspaces": "alice/box",
    }
    assert embedded.redis_url is not None
    with served(database, redis_url=embedded.redis_url) as (url, _site):
        monkeypatch.setenv("PROVISIONERD_URL", url)
        monkeypatch.setenv("PROVISIONERD_TOKEN", token)
        found = {kind: find_names(kind, name, within=None) for kind, name in expected.items()}
    assert {kind: name for kind, [(name, _note)] in found.items()} == expected
