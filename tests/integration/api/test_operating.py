"""What operators and admins change over the API, where Coder has no route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from db.catalog.audit import AuditAction
from db.catalog.templates import Push, push_template
from db.schema.enums import TokenScope
from db.schema.tables import AuditLog, Circuit, User
from tests.harness.api.client import Client
from tests.harness.api.door import Door
from tests.harness.factory import tar_archive
from tests.harness.threadworker import sign_on


def ask(client: Client, method: str, path: str, status: int = 200, body: Any = None) -> Any:
    answer = client.send(method, path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def audited(door: Door) -> list[tuple[str, str, str]]:
    with door.factory.database.begin() as session:
        rows = session.scalars(select(AuditLog).order_by(AuditLog.time)).all()
        return [
            (row.username, row.action, f"{row.resource_type} {row.resource_target}") for row in rows
        ]


def test_a_queue_is_paused_and_resumed_by_an_operator(door: Door, admin: Client) -> None:
    operator = door.client(door.user("template-admin", name="otto"))
    ask(operator, "POST", "queues/builds/pause", 204, {"reason": "noon"})
    (queue,) = ask(admin, "GET", "queues")
    assert (queue["paused_by"], queue["pause_reason"]) == ("otto", "noon")
    refusal = ask(operator, "POST", "queues/builds/pause", 409, {})
    assert refusal["message"] == "the queue builds is paused already"
    ask(operator, "POST", "queues/builds/resume", 204)
    assert ask(admin, "GET", "queues") == []
    assert audited(door) == [
        ("otto", AuditAction.PAUSE, "queue builds"),
        ("otto", AuditAction.RESUME, "queue builds"),
    ]


def test_a_worker_is_drained_resumed_and_forgotten(door: Door, admin: Client) -> None:
    sign_on(door.factory.database, "w1")
    assert ask(admin, "POST", "workers/w1/drain") == {"builds": 0}
    ask(admin, "POST", "workers/w1/resume", 204)
    refusal = ask(admin, "DELETE", "workers/w1", 409)
    assert refusal["message"] == "the worker w1 is not offline"
    assert ask(admin, "DELETE", "workers/w2", 404)["message"] == "there is no worker 'w2'"


def test_circuits_are_listed_and_closed_by_a_template_admin(
    door: Door, member: Client, owner: User
) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner)
    with door.factory.database.begin() as session:
        failing = Circuit(template_version_id=template.active_version_id, reason="terraform")
        session.add(failing)
    (circuit,) = ask(member, "GET", "provisionerd/circuits")
    assert (circuit["template"], circuit["state"]) == (template.name, "closed")
    path = f"templateversions/{template.active_version_id}/circuits"
    ask(member, "DELETE", path, 403)
    operator = door.client(door.user("template-admin", name="otto"))
    assert ask(operator, "DELETE", path) == {"reasons": ["terraform"]}
    assert ask(operator, "DELETE", path, 409)["message"].endswith("since its last success")
    assert audited(door) == [
        ("otto", AuditAction.CLOSE_CIRCUIT, f"template_version {template.name}/v1")
    ]


def test_a_limit_is_changed_by_an_owner(door: Door, admin: Client) -> None:
    path = "limits/workspaces_per_chat"
    changed = {"name": "workspaces_per_chat", "allowed": 2, "before": 5}
    assert ask(admin, "PUT", path, body={"allowed": 2}) == changed
    ask(admin, "PUT", path, body={"allowed": None})
    assert ask(admin, "PUT", path, 400, {"allowed": -1})["message"] == "Validation failed."
    assert audited(door)[0] == ("ada", AuditAction.WRITE, "limit workspaces_per_chat")


OPERATORS_VERBS: list[tuple[str, str, Mapping[str, object]]] = [
    ("POST", "queues/builds/pause", {}),
    ("POST", "queues/builds/resume", {}),
    ("POST", "workers/w1/drain", {}),
    ("POST", "workers/w1/resume", {}),
    ("DELETE", "workers/w1", {}),
    ("PUT", "limits/workspaces_per_chat", {"allowed": 1}),
    ("POST", "organizations", {"name": "more"}),
    ("POST", "organizations/acme/groups", {"name": "rich", "quota_allowance": 9}),
    ("PUT", "organizations/acme/groups/Everyone/allowance", {"quota_allowance": 9}),
    ("PUT", "organizations/acme/groups/Everyone/members/alice", {}),
]


def test_operators_verbs_are_forbidden_to_members_and_to_narrow_tokens(
    door: Door, owner: User, alice: User
) -> None:
    template_admin = door.user("organization-template-admin")
    narrow = door.client(owner, scope=TokenScope.BUILD)
    for client in (door.client(alice), door.client(template_admin), narrow):
        for method, path, body in OPERATORS_VERBS:
            assert ask(client, method, path, 403, body)["message"] == "Forbidden."
    assert audited(door) == []


def test_a_waiting_build_is_canceled_by_its_owner_only(
    door: Door, owner: User, alice: User
) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner)
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    job_id = door.factory.build(workspace).job_id
    path = f"organizations/acme/provisionerjobs/{job_id}/cancel"
    ask(door.client(door.user()), "POST", path, 404)
    member = door.client(alice)
    assert ask(member, "POST", path) == {"id": str(job_id), "status": "canceled"}
    ask(member, "POST", path, 409)
    assert audited(door) == [("alice", AuditAction.CANCEL, "workspace_build box/1")]


def test_an_import_is_canceled_by_a_template_admin(door: Door, alice: User, admin: Client) -> None:
    push = Push(
        organization=door.organization,
        name="dev",
        archive=tar_archive({"main.tf": b""}),
        created_by=alice,
    )
    with door.factory.database.begin() as session:
        job_id = push_template(session, push).job_id
    path = f"organizations/acme/provisionerjobs/{job_id}/cancel"
    ask(door.client(alice), "POST", path, 404)
    assert ask(admin, "POST", path)["status"] == "canceled"


def test_a_group_gives_its_members_an_allowance(door: Door, admin: Client, alice: User) -> None:
    made = ask(admin, "POST", "organizations/acme/groups", 201, {"name": "gpu"})
    assert made["quota_allowance"] == 0
    changed = ask(
        admin, "PUT", "organizations/acme/groups/gpu/allowance", body={"quota_allowance": 7}
    )
    assert (changed["id"], changed["quota_allowance"]) == (made["id"], 7)
    ask(admin, "PUT", "organizations/acme/groups/gpu/members/alice")
    quota = "organizations/acme/members/alice/workspace-quota"
    assert ask(admin, "GET", quota)["budget"] == 107
    ask(admin, "DELETE", "organizations/acme/groups/gpu/members/alice")
    assert ask(admin, "GET", quota)["budget"] == 100
    assert [what for _, _, what in audited(door)] == ["group gpu"] * 4


def test_an_owner_creates_an_organization(door: Door, admin: Client) -> None:
    made = ask(admin, "POST", "organizations", 201, {"name": "lab", "everyone_allowance": 3})
    assert (made["name"], made["is_default"]) == ("lab", False)
    again = ask(admin, "POST", "organizations", 409, {"name": "lab"})
    assert again["message"] == "there is already an organization 'lab'"
