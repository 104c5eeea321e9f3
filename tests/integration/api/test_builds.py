"""Workspaces and their builds, as the command line uses them. Builds are run by the echo engine."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from db.schema.enums import JobErrorCode, JobStatus, TokenScope, Transition
from db.schema.tables import Template, TemplateVersion, User
from tests.harness.api import shapes
from tests.harness.api.client import Client, refused
from tests.harness.api.coder import Coder, CommandError
from tests.harness.api.door import Door
from tests.harness.api.strict import ZERO_ID, many
from tests.harness.threadworker import sign_on

COSTLY = {"plan": {"daily_cost": 500}}


@pytest.fixture
def template(door: Door, owner: User) -> Template:
    return door.factory.template(organization=door.organization, created_by=owner, name="dev")


@pytest.fixture
def coder(door: Door, alice: User, template: Template, builds_are_run: None) -> Coder:
    return door.coder(alice)


@pytest.fixture
def admin_coder(door: Door, owner: User, template: Template) -> Coder:
    return door.coder(owner)


def created(client: Client, **choice: uuid.UUID | None) -> Any:
    """Create a workspace of a template, or of a version."""
    body = {"name": "box", **{name: str(value) for name, value in choice.items()}}
    return client.ask("POST", "users/me/workspaces", shapes.WORKSPACE, status=201, body=body)


def test_a_workspace_goes_through_its_life(coder: Coder) -> None:
    coder.create("box", "dev")
    assert [found["latest_build"]["status"] for found in coder.workspaces()] == ["running"]
    coder.stop("box")
    assert coder.show("box")["latest_build"]["status"] == "stopped"
    coder.start("box")
    coder.restart("box")
    assert coder.workspace("box")["latest_build"]["build_number"] == 5
    build = coder.delete("box")
    assert coder.client.get(f"workspacebuilds/{build['id']}", shapes.BUILD)["status"] == "deleted"
    assert refused(lambda: coder.workspace("box")).status == 404
    assert coder.workspaces() == []


def test_a_deleted_workspace_is_gone_by_id(coder: Coder) -> None:
    workspace = coder.create("box", "dev")
    coder.delete("box")
    error = refused(lambda: coder.workspace(workspace["id"]))
    assert (error.status, "was deleted" in error.message) == (410, True)
    path = f"workspaces/{workspace['id']}?include_deleted=true"
    assert coder.client.get(path, shapes.WORKSPACE)["latest_build"]["status"] == "deleted"
    body = {"transition": "start", "template_version_id": ZERO_ID}
    path = f"workspaces/{workspace['id']}/builds"
    error = refused(lambda: coder.client.ask("POST", path, shapes.BUILD, status=201, body=body))
    assert (error.status, error.message) == (409, "Cannot start a deleted workspace!")


def test_a_state_that_is_not_base64_is_refused(
    door: Door, alice: User, admin: Client, template: Template
) -> None:
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace)
    body = {"transition": "start", "state": "%%%"}
    path = f"workspaces/{workspace.id}/builds"
    error = refused(lambda: admin.ask("POST", path, shapes.BUILD, status=201, body=body))
    assert (error.status, error.validations[0]["field"]) == (400, "state")


def test_a_new_build_says_how_many_workers_can_run_it(
    door: Door, alice: User, template: Template
) -> None:
    """``coder create`` and ``coder start`` warn if there is none."""
    client = door.client(alice)
    made = created(client, template_version_id=template.active_version_id)
    assert made["latest_build"]["matched_provisioners"]["count"] == 0
    sign_on(door.factory.database, "worker")
    client.ask("PATCH", f"workspacebuilds/{made['latest_build']['id']}/cancel", shapes.MESSAGE)
    path = f"workspaces/{made['id']}/builds"
    again = client.ask("POST", path, shapes.BUILD, status=201, body={"transition": "start"})
    assert again["matched_provisioners"]["available"] == 1


def test_a_log_as_text_cannot_be_followed(member: Client, known: Mapping[str, str]) -> None:
    path = f"workspacebuilds/{known['build']}/logs?format=text"
    assert member.send("GET", path).status_code == 200
    assert member.send("GET", f"{path}&follow").status_code == 400


@pytest.mark.parametrize("orphan", [False, True])
def test_a_deleted_workspace_is_deleted_again_without_another_build(
    door: Door, alice: User, admin: Client, template: Template, orphan: bool
) -> None:
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace, transition=Transition.DELETE)
    body = {"transition": "delete", "template_version_id": ZERO_ID, "orphan": orphan}
    path = f"workspaces/{workspace.id}/builds"
    again = admin.ask("POST", path, shapes.BUILD, status=201, body=body)
    assert (again["build_number"], again["status"]) == (1, "deleted")


def test_a_build_keeps_the_reason_that_its_client_gives(coder: Coder) -> None:
    """``coder start`` gives one, ``coder create`` and ``coder stop`` do not."""
    coder.create("box", "dev")
    coder.stop("box")
    coder.start("box")
    path = f"workspaces/{coder.workspace('box')['id']}/builds"
    reasons = [build["reason"] for build in coder.client.get(path, many(shapes.BUILD))]
    assert reasons == ["cli", "initiator", "initiator"]


REASONS = {"dashboard", "cli", "ssh_connection", "vscode_connection", "jetbrains_connection"}


def test_only_reasons_of_clients_are_accepted(
    door: Door, alice: User, member: Client, template: Template
) -> None:
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace)
    path = f"workspaces/{workspace.id}/builds"
    answered = {}
    for reason in (*REASONS, "task_manual_pause", "", "initiator", "autostart", "boredom"):
        answer = member.send("POST", path, json={"transition": "stop", "reason": reason})
        answered[reason] = answer.json().get("reason")
        if answer.status_code == 201:
            member.ask("PATCH", f"workspacebuilds/{answer.json()['id']}/cancel", shapes.MESSAGE)
    accepted = {reason: reason for reason in (*REASONS, "task_manual_pause")}
    refused = dict.fromkeys(("initiator", "autostart", "boredom"))
    assert answered == {**accepted, "": "initiator", **refused}


@pytest.mark.parametrize(
    ("setting", "body", "field"),
    [
        ("autostart", {"schedule": "every day"}, "schedule"),
        ("ttl", {"ttl_ms": 1000}, "ttl_ms"),
    ],
)
def test_a_schedule_that_is_none_is_refused(
    door: Door, alice: User, member: Client, template: Template, setting: str, body: Any, field: str
) -> None:
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace)
    path = f"workspaces/{workspace.id}/{setting}"
    error = refused(lambda: member.ask("PUT", path, status=204, body=body))
    assert (error.status, error.validations[0]["field"]) == (400, field)
    member.ask("PUT", f"workspaces/{workspace.id}/autostart", status=204, body={"schedule": None})


@pytest.mark.parametrize(("ttl_ms", "status"), [(2**63 // 10**6 - 1, 204), (2**63 // 10**6, 400)])
def test_a_time_to_live_fits_into_its_column(
    door: Door, alice: User, member: Client, template: Template, ttl_ms: int, status: int
) -> None:
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace)
    answer = member.send("PUT", f"workspaces/{workspace.id}/ttl", json={"ttl_ms": ttl_ms})
    assert answer.status_code == status


def test_builds_are_listed_in_pages(
    door: Door, alice: User, member: Client, template: Template
) -> None:
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    for _ in range(5):
        door.factory.finished_build(workspace)
    path = f"workspaces/{workspace.id}/builds?since=0001-01-01T00%3A00%3A00Z&limit=2"
    seen: list[int] = []
    after = ""
    while page := member.get(f"{path}{after}", many(shapes.BUILD)):
        seen += [build["build_number"] for build in page]
        after = f"&after_id={page[-1]['id']}"
    assert seen == [5, 4, 3, 2, 1]
    later = f"workspaces/{workspace.id}/builds?since=2999-01-01T00%3A00%3A00Z"
    assert member.get(later, many(shapes.BUILD)) == []
    assert member.get(f"{path}&after_id={uuid.uuid4()}", many(shapes.BUILD)) == []


def test_the_log_begins_each_stage_with_an_empty_line(coder: Coder) -> None:
    coder.create("box", "dev")
    assert coder.seen.stages
    assert len(coder.seen.stages) == len(set(coder.seen.stages))
    assert coder.seen.lines


def test_a_quota_refusal_has_its_code(door: Door, owner: User, coder: Coder) -> None:
    door.factory.template(
        organization=door.organization, created_by=owner, name="large", script=COSTLY
    )
    with pytest.raises(CommandError, match="insufficient quota"):
        coder.create("box", "large")
    job = coder.workspace("box")["latest_build"]["job"]
    assert (job["status"], job["error_code"]) == ("failed", JobErrorCode.INSUFFICIENT_QUOTA)


def test_a_second_build_is_refused_while_one_waits(
    door: Door, alice: User, template: Template
) -> None:
    client = door.client(alice)
    made = created(client, template_version_id=template.active_version_id)
    assert (made["latest_build"]["status"], made["latest_build"]["job"]["queue_position"]) == (
        "pending",
        1,
    )
    given = {"transition": "stop", "template_version_id": ZERO_ID}
    path = f"workspaces/{made['id']}/builds"
    error = refused(lambda: client.ask("POST", path, shapes.BUILD, status=201, body=given))
    assert (error.status, error.message) == (409, "A workspace build is already active.")


def test_a_pending_build_is_canceled_at_once(door: Door, alice: User, template: Template) -> None:
    client = door.client(alice)
    made = created(client, template_id=template.id)
    path = f"workspacebuilds/{made['latest_build']['id']}"
    assert (
        refused(
            lambda: client.ask("PATCH", f"{path}/cancel?expect_status=running", shapes.MESSAGE)
        ).status
        == 412
    )
    client.ask("PATCH", f"{path}/cancel?expect_status=", shapes.MESSAGE)
    assert client.get(path, shapes.BUILD)["status"] == "canceled"
    error = refused(lambda: client.ask("PATCH", f"{path}/cancel", shapes.MESSAGE))
    assert (error.status, error.message) == (400, "Job has already completed!")
    with pytest.raises(CommandError, match=r"^$"):
        Coder(client).follow(path, shapes.BUILD, lambda found: found["job"])


def test_a_name_that_is_taken_is_a_conflict(coder: Coder) -> None:
    coder.create("box", "dev")
    version = coder.workspace("box")["template_active_version_id"]
    body = {"template_version_id": version, "name": "BOX"}
    error = refused(
        lambda: coder.client.ask(
            "POST", "users/me/workspaces", shapes.WORKSPACE, status=201, body=body
        )
    )
    assert (error.status, error.validations[0]["field"]) == (409, "name")


def test_a_workspace_is_renamed_and_favored(coder: Coder) -> None:
    coder.create("box", "dev")
    coder.create("abc", "dev")
    coder.favorite("box")
    coder.rename("box", "crate")
    assert [found["name"] for found in coder.workspaces()] == ["crate", "abc"]
    assert refused(lambda: coder.rename("crate", "abc")).status == 409
    assert refused(lambda: coder.rename("crate", "a b")).status == 400


SEARCHES = {
    "owner:me": ["box"],
    "bo": ["box"],
    "owner:alice name:box": ["box"],
    "alice/box": ["box"],
    "status:running": ["box"],
    "status:stopped": [],
    'template:"dev"': ["box"],
    "organization:acme": ["box"],
    "outdated:true": [],
    "last_used_after:2020-01-01T00:00:00Z": ["box"],
    "last_used_before:2020-01-01T00:00:00Z": [],
    "has-ai-task:true": [],
    "has_external_agent:false": ["box"],
    "shared:false": ["box"],
    "shared_with_user:alice": [],
    "healthy:false": [],
    "has-agent:connected": [],
    "param:region": [],
    "owner:nobody": [],
}


def test_workspaces_are_searched(coder: Coder) -> None:
    coder.create("box", "dev")
    found = {query: [one["name"] for one in coder.workspaces(query)] for query in SEARCHES}
    assert found == SEARCHES


def test_a_search_with_an_unknown_term_is_refused(member: Client) -> None:
    error = refused(lambda: member.get("workspaces?q=color:red", shapes.WORKSPACES))
    assert error.status == 400


def test_states_are_pulled_and_pushed_by_template_admins(coder: Coder, admin_coder: Coder) -> None:
    coder.create("box", "dev")
    assert refused(lambda: coder.state_pull("box")).status == 404
    state = admin_coder.state_pull("alice/box")
    other = json.dumps({**json.loads(state), "serial": 99}).encode()
    admin_coder.state_push("alice/box", other, no_build=True)
    assert admin_coder.state_pull("alice/box") == other


def test_an_orphan_delete_needs_no_worker(
    door: Door, owner: User, alice: User, template: Template
) -> None:
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace, status=JobStatus.FAILED)
    member, admin = Coder(door.client(alice)), Coder(door.client(owner))
    error = refused(lambda: member.delete("box", orphan=True))
    assert (error.status, error.message) == (403, "Only template managers may provide custom state")
    assert admin.delete("alice/box", orphan=True)["job"]["status"] == "succeeded"


def test_a_token_to_read_does_not_build(door: Door, alice: User, template: Template) -> None:
    client = door.client(alice, scope=TokenScope.READ)
    body = {"template_id": str(template.id), "name": "box"}
    error = refused(
        lambda: client.ask("POST", "users/me/workspaces", shapes.WORKSPACE, status=201, body=body)
    )
    assert error.status == 403


def test_what_a_version_cannot_do_is_refused_in_the_words_of_the_reference(
    door: Door, alice: User, template: Template, owner: User
) -> None:
    other = door.factory.template(organization=door.organization, created_by=owner)
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace)
    client = door.client(alice)
    path = f"workspaces/{workspace.id}/builds"

    def refusal(version: object) -> tuple[int, str]:
        body = {"transition": "start", "template_version_id": str(version)}
        error = refused(lambda: client.ask("POST", path, shapes.BUILD, status=201, body=body))
        return error.status, error.message

    assert refusal(uuid.uuid4()) == (400, "template version does not exist")
    assert refusal(other.active_version_id) == (400, "template version doesn't match template")


def test_a_start_takes_the_version_that_the_template_requires(
    coder: Coder, admin_coder: Coder, door: Door, owner: User, template: Template
) -> None:
    coder.create("box", "dev")
    coder.stop("box")
    other = door.factory.template(organization=door.organization, created_by=owner)
    with door.factory.database.begin() as session:
        version = session.get_one(TemplateVersion, other.active_version_id)
        version.template_id, version.name = template.id, "v2"
        session.flush()
        session.get_one(Template, template.id).active_version_id = other.active_version_id
    edited = admin_coder.templates_edit("dev", require_active_version=True)
    assert edited["require_active_version"]
    path = f"workspaces/{coder.workspace('box')['id']}/builds"
    body = {"transition": "start", "template_version_id": str(template.active_version_id)}
    error = refused(lambda: coder.client.ask("POST", path, shapes.BUILD, status=201, body=body))
    assert (error.status, "non-active version" in error.message) == (403, True)
    assert coder.start("box")["template_version_id"] == str(other.active_version_id)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("has-ai-task:true", 0),
        ("has-ai-task:false", 1),
        ("has_external_agent:true", 0),
        ("author:ada", 1),
        ("author:nobody", 0),
        (f"author_id:{ZERO_ID}", 0),
        ("organization:acme", 1),
    ],
)
def test_templates_are_searched(admin: Client, template: Template, query: str, count: int) -> None:
    assert len(admin.get(f"templates?q={query}", many(shapes.TEMPLATE))) == count


def test_a_deprecated_template_makes_no_workspace(
    coder: Coder, admin_coder: Coder, template: Template
) -> None:
    edited = admin_coder.templates_edit("dev", deprecation_message="use dev2")
    assert (edited["deprecated"], edited["deprecation_message"]) == (True, "use dev2")
    error = refused(lambda: coder.create("box", "dev"))
    assert (error.status, "has been deprecated" in error.message) == (400, True)
    found = [
        len(coder.client.get(f"templates?q=deprecated:{is_so}", many(shapes.TEMPLATE)))
        for is_so in ("true", "false")
    ]
    assert found == [1, 0]
    assert not admin_coder.templates_edit("dev", deprecation_message="")["deprecated"]


def test_a_version_without_a_template_has_no_dry_run(
    door: Door, admin: Client, template: Template
) -> None:
    with door.factory.database.begin() as session:
        session.get_one(TemplateVersion, template.active_version_id).template_id = None
    path = f"templateversions/{template.active_version_id}/dry-run"
    body = {"workspace_name": "box", "rich_parameter_values": None}
    error = refused(lambda: admin.ask("POST", path, shapes.JOB, status=201, body=body))
    assert (error.status, error.message) == (400, "Template version is not part of a template.")


def test_jobs_are_listed_for_template_admins_only(coder: Coder, admin_coder: Coder) -> None:
    coder.create("box", "dev")
    assert refused(coder.jobs_list).status == 404
    jobs = admin_coder.jobs_list("succeeded")
    assert {job["type"] for job in jobs} >= {"workspace_build", "template_version_dry_run"}
    assert admin_coder.jobs_list("failed") == []
    assert [daemon["name"] for daemon in admin_coder.provisioner_list()] == ["echo-worker"]


def test_a_pending_job_is_canceled_by_a_template_admin(
    door: Door, alice: User, admin_coder: Coder, template: Template
) -> None:
    workspace = door.factory.workspace(owner=alice, template=template)
    job_id = door.factory.build(workspace, Transition.START).job_id
    admin_coder.jobs_cancel(str(job_id))
    assert door.factory.status(job_id) is JobStatus.CANCELED


def test_an_unknown_query_of_jobs_is_refused(admin_coder: Coder) -> None:
    home = admin_coder.organization()["id"]
    for path in ("provisionerjobs?colour=red", "provisionerdaemons?status=wild"):
        error = refused(
            lambda path=path: admin_coder.client.get(  # type: ignore[misc]
                f"organizations/{home}/{path}", many(shapes.JOB)
            )
        )
        assert error.status == 400
