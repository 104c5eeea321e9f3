"""Commands that change something: the same over the API as over the database."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from db.engine import Database
from db.schema.tables import AuditLog, Circuit, Organization, Template, User
from tests.harness.canned import answering
from tests.harness.factory import Factory
from tests.harness.threadworker import sign_on
from tests.integration.cli.commandline import CommandLine, refused
from tests.integration.cli.doors import Doors


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
    doors.alike(
        "circuits close dev-{} v1",
        "circuits close dev-{} v1",
        "circuits close dev-{} v9",
        "circuits close none v1",
        "circuits close dev-{} v1 --organization none",
    )


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
        next(group for group in groups if group["name"] == f"gpu-{mark}") for mark in doors.marks
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
    for mark in doors.marks:
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


def test_the_files_of_templates_are_read_alike(
    doors: Doors, factory: Factory, home: Organization
) -> None:
    factory.template(organization=home, created_by=factory.user(organization=home), name="dev")
    results = doors.alike(
        "template pull dev --tar",
        "template pull dev --tar --version v9",
        "template pull lost --tar",
        "template diff dev v1",
        "template diff dev v9",
    )
    assert [result.exit_code for result in results] == [0, 1, 1, 0, 1]
    assert len(results[0].stdout_bytes) > 512


def test_a_lookup_that_is_cut_off_has_changed_nothing(
    environment: Mapping[str, str | None],
) -> None:
    with answering(b"") as server:
        result = CommandLine(environment)(
            "template", "activate", "dev", "v1", url=server.url, token="abcdefghij-secret"
        )
    refused(result, "try again")


def test_a_member_s_token_is_refused_an_operator_s_verb(
    member: CommandLine, database: Database
) -> None:
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


def test_workspaces_are_renamed_alike(
    doors: Doors, factory: Factory, home: Organization, ada: User
) -> None:
    template = factory.template(organization=home, created_by=ada)
    for name in ("box-x1", "box-x2"):
        factory.build(factory.workspace(owner=ada, template=template, name=name))
    (renamed,) = doors.alike("workspace rename ada/box-{} crate-{}")
    assert renamed.exit_code == 0, renamed.stderr
