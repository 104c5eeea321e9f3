"""Commands that change something: the same over the API as over the database."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
from click.testing import Result
from sqlalchemy import select

from db.catalog.people import set_site_roles
from db.catalog.tokens import create_token
from db.engine import Database
from db.schema.tables import AuditLog, Circuit, Organization, Template, User
from tests.harness.api.serving import served
from tests.harness.canned import answering
from tests.harness.factory import Factory
from tests.harness.threadworker import sign_on
from tests.integration.cli.commandline import CommandLine, refused
from worker.embedded import Embedded

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass(frozen=True, kw_only=True)
class Doors:
    """The command line with the database, and with a server of the API."""

    database: CommandLine
    api: CommandLine

    def alike(self, *commands: str) -> Sequence[Result]:
        """Run commands over the database and then over the API: they must print the same.

        ``{}`` stands for a mark, which is another one for each door.

        Returns:
            The results over the API.
        """
        here = [self.database(*_words(command, "x1")) for command in commands]
        there = [self.api(*_words(command, "x2")) for command in commands]
        for command, one, other in zip(commands, here, there, strict=True):
            assert _shown(other, "x2") == _shown(one, "x1"), command
        return there


def _words(command: str, mark: str) -> list[str]:
    return shlex.split(command.replace("{}", mark))


def _shown(result: Result, mark: str) -> tuple[int, str, str]:
    texts = (result.stdout, result.stderr)
    stdout, stderr = (IDS.sub("ID", text.replace(f"-{mark}", "-{}")) for text in texts)
    return result.exit_code, stdout, stderr


@pytest.fixture
def ada(factory: Factory, home: Organization, database: Database) -> User:
    """An owner of the site."""
    made = factory.user(organization=home, username="ada")
    with database.begin() as session:
        set_site_roles(session, session.get_one(User, made.id), ["owner"])
    return made


@pytest.fixture
def url(database: Database, embedded: Embedded) -> Iterator[str]:
    assert embedded.redis_url is not None
    with served(database, redis_url=embedded.redis_url) as (url, _site):
        yield url


def with_token(
    environment: Mapping[str, str | None], database: Database, url: str, user: User
) -> CommandLine:
    """The command line of a user who has a token and no database."""
    with database.begin() as session:
        token = create_token(session, user_id=user.id).text
    without = {"PROVISIONERD_DATABASE_URL": None, "PROVISIONERD_REDIS_URL": None}
    given = {"PROVISIONERD_URL": url, "PROVISIONERD_TOKEN": token, "PROVISIONERD_DATA_DIR": None}
    return CommandLine({**environment, **without, **given})


@pytest.fixture
def doors(environment: Mapping[str, str | None], database: Database, url: str, ada: User) -> Doors:
    return Doors(database=CommandLine(environment), api=with_token(environment, database, url, ada))


def audited(database: Database) -> list[tuple[str, str]]:
    with database.begin() as session:
        rows = session.scalars(select(AuditLog).order_by(AuditLog.time)).all()
        return [(row.action, f"{row.resource_type} {row.resource_target}") for row in rows]


def test_queues_workers_and_limits_change_alike(doors: Doors, database: Database) -> None:
    sign_on(database, "hand")
    doors.alike(
        "queue pause builds --reason upgrade",
        "queue pause builds",
        "queue resume builds",
        "queue resume builds",
        "queue pause nothing",
        "workers drain hand",
        "workers drain hand",
        "workers resume hand",
        "workers forget hand",
        "workers forget lost",
        "limits set workspaces_per_chat 7",
        "limits set workspaces_per_chat off",
        "limits set workspaces_per_chat 5",
    )
    rows = audited(database)
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    assert len(rows) == 14


def test_circuits_close_alike(
    doors: Doors, factory: Factory, home: Organization, ada: User, database: Database
) -> None:
    made = [
        factory.template(organization=home, created_by=ada, name=f"dev-{mark}")
        for mark in ("x1", "x2")
    ]
    with database.begin() as session:
        for template in made:
            version_id = template.active_version_id
            session.add(Circuit(template_version_id=version_id, reason="terraform in plan"))
    doors.alike("circuits close dev-{} v1", "circuits close dev-{} v1")


def test_people_change_alike(doors: Doors, alice: User) -> None:
    doors.alike(
        "organization create lab-{} --allowance 3",
        "organization create lab-{}",
        "user create bob-{} --email bob@example.com --role auditor",
        "user create bob-{}",
        "user create carl-{} --organization lab-{}",
        "user create carl-{} --organization nowhere",
        "user set-roles bob-{} template-admin user-admin",
        "user set-roles bob-{} captain",
        "user set-roles nobody auditor",
        "user set-roles bob-{} organization-admin --organization default",
        "user set-roles bob-{} organization-admin --organization lab-{}",
        "user suspend bob-{}",
        "user activate bob-{}",
        "user suspend nobody",
        "group create gpu-{} --allowance 5",
        "group create gpu-{}",
        "group create gpu-{} --organization nowhere",
        "group add gpu-{} alice",
        "group add gpu-{} nobody",
        "group add gpu-{} carl-{}",
        "group add Everyone alice",
        "group set-allowance gpu-{} 7",
        "group set-allowance gpu-{} -1",
        "group set-allowance lost 7",
        "group remove gpu-{} alice",
    )
    groups = doors.database.json("group", "list")
    one, other = (
        next(group for group in groups if group["name"] == f"gpu-{mark}") for mark in ("x1", "x2")
    )
    assert (one["quota_allowance"], one["members"]) == (other["quota_allowance"], other["members"])


def test_tokens_change_alike(doors: Doors, alice: User) -> None:
    for door in (doors.database, doors.api):
        made = door.json("token", "create", "--user", "alice", "--scope", "build", "--name", "ci")
        assert sorted(made) == ["expires_at", "id", "name", "scope", "token", "username"]
        assert (made["scope"], made["username"], made["name"]) == ("build", "alice", "ci")
        revoked = door("token", "revoke", made["token"])
        assert revoked.stdout == f"Token {made['id']} was revoked.\n"
    doors.alike("token revoke 9XdbNfb3A1", "token create --user nobody")


def test_webhooks_change_alike(doors: Doors) -> None:
    doors.alike(
        "webhook create nonsense --user ada",
        "webhook create https://example.com/{} --user ada --organization nowhere",
        "webhook delete 3f2a",
    )
    for door in (doors.database, doors.api):
        arguments = ("--user", "ada", "--type", "job.failed", "--organization", "default")
        made = door.json("webhook", "create", "https://example.com/hook", *arguments)
        assert sorted(made) == ["id", "secret", "url"]
        assert "will be sent" in door("webhook", "test", made["id"]).stdout
        assert door("webhook", "replay", made["id"][:8]).stdout == "0 events will be sent again.\n"
        deleted = door("webhook", "delete", made["id"])
        assert deleted.stdout == f"Webhook {made['id']} was deleted.\n"


def test_templates_change_alike(doors: Doors, factory: Factory, home: Organization) -> None:
    author = factory.user(organization=home)
    for mark in ("x1", "x2"):
        factory.template(organization=home, created_by=author, name=f"dev-{mark}")
    doors.alike(
        "template activate dev-{} v1",
        "template activate dev-{} v9",
        "template activate lost v1",
        "template activate dev-{} v1 --organization nowhere",
        "template archive dev-{} v1",
        "template edit dev-{} --require-active-version --stop-after 8h --activity-bump 1h",
        "template edit dev-{} --deprecate old --fetch-modules",
        "template edit dev-{}",
        "template delete dev-{} --yes",
        "template delete dev-{} --yes",
    )
    with factory.database.begin() as session:
        one, other = session.scalars(select(Template).order_by(Template.name)).all()
        for column in ("default_ttl", "activity_bump", "deprecated", "require_active_version"):
            assert getattr(one, column) == getattr(other, column), column
        assert (one.deleted, other.deleted, other.default_ttl) == (True, True, 28800 * 10**9)


def test_a_member_s_token_is_refused_an_operator_s_verb(
    environment: Mapping[str, str | None], database: Database, url: str, alice: User
) -> None:
    member = with_token(environment, database, url, alice)
    refused(member("queue", "pause", "builds"), "you may not do this")
    refused(member("limits", "set", "workspaces_per_chat", "9"), "Only owners change limits")
    assert audited(database) == []


def test_the_user_of_the_audit_log_is_that_of_the_token(doors: Doors) -> None:
    assert doors.api("queue", "pause", "builds", "--as", "alice").exit_code == 2


def test_a_change_without_an_answer_may_have_been_made(
    environment: Mapping[str, str | None],
) -> None:
    with answering(b"") as server:
        result = CommandLine(environment)(
            "queue", "pause", "builds", url=server.url, token="abcdefghij-secret"
        )
    refused(result, "may have done it; `provisionerd queue` shows whether it has")
