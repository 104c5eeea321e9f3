"""Agents' tools over the Model Context Protocol, by the SDK's own client."""

from __future__ import annotations

from typing import Any

import pytest

from api.mcp.serving import offer
from chattool.owned.tools import OWNER_TOOLS
from db.jobs.declarations import TemplateParameter, TemplatePreset
from db.schema.enums import TokenScope
from db.schema.tables import ProvisionerJob, User
from tests.harness.api.door import Door
from tests.harness.mcp.client import Agent, ask, by_http
from tests.integration.chattool.chatting import Chat


def call(door: Door, user: User, tool: str, **arguments: Any) -> dict[str, Any]:
    async def doing(agent: Agent) -> dict[str, Any]:
        return await agent.call(tool, **arguments)

    return ask(by_http(door.url, door.token(user, TokenScope.BUILD)), doing)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_workspace_is_created_stopped_and_deleted(
    door: Door, alice: User, built: Chat, mode: str
) -> None:
    async def doing(agent: Agent) -> list[Any]:
        made = await agent.call("create_workspace", template="dev", name="box")
        again = await agent.call("start_workspace", workspace="box")
        stopped = await agent.call("stop_workspace", workspace="alice/box")
        deleted = await agent.call("delete_workspace", workspace="box")
        left = await agent.call("list_workspaces")
        return [
            (made["status"], made["daily_cost"], made["resources"][0]["name"]),
            again["no_build"],
            (stopped["status"], stopped["transition"]),
            deleted["status"],
            left["workspaces"],
        ]

    found = ask(by_http(door.url, door.token(alice, TokenScope.BUILD)), doing, mode=mode)
    assert found == [("succeeded", 60, "home"), True, ("succeeded", "stop"), "succeeded", []]


def test_progress_is_told_while_a_build_runs(door: Door, alice: User, built: Chat) -> None:
    async def doing(agent: Agent) -> list[str]:
        await agent.call("create_workspace", template="dev", name="box")
        return agent.progress

    assert ask(by_http(door.url, door.token(alice, TokenScope.BUILD)), doing)


def test_a_build_that_takes_longer_is_answered_as_running(
    door: Door, alice: User, chat: Chat
) -> None:
    made = call(door, alice, "create_workspace", template="dev", name="box", wait_seconds=0.05)
    assert (made["status"], made["stage"]) == ("running", "waiting for a worker")
    assert "read_build" in made["next"]
    with chat.building():
        ended = call(door, alice, "read_build", build=made["build_id"])
    assert ended["status"] == "succeeded"


def test_a_refusal_by_quota_names_what_could_be_freed(door: Door, alice: User, built: Chat) -> None:
    call(door, alice, "create_workspace", template="dev", name="one")
    refused = call(door, alice, "create_workspace", template="dev", name="two")
    assert refused["error_code"] == "INSUFFICIENT_QUOTA"
    assert refused["could_be_freed"] == [
        {"workspace": "one", "daily_cost": 60, "transition": "start"}
    ]
    assert refused["quota"] == {"credits_consumed": 60, "budget": 100}


def test_a_forecast_says_what_the_quota_would_say(door: Door, alice: User, built: Chat) -> None:
    call(door, alice, "create_workspace", template="dev", name="one")
    found = call(door, alice, "forecast_build", template="dev")
    assert found["status"] == "succeeded", found
    assert found["would_fit"] is (found["daily_cost"] <= 40)


def test_values_that_are_refused_are_answered_as_validations(
    door: Door, alice: User, chat: Chat
) -> None:
    refused = call(door, alice, "create_workspace", template="dev", parameters={"colour": "red"})
    assert [found["field"] for found in refused["validations"]] == ["colour"]
    wrong = call(door, alice, "create_workspace", templates="dev")
    assert {found["field"] for found in wrong["validations"]} == {"template", "templates"}


def test_a_log_is_read_around_its_error(door: Door, alice: User, chat: Chat) -> None:
    template = chat.push({"plan": {"error": "the cloud is closed"}})
    with chat.building():
        failed = call(door, alice, "create_workspace", template=template.name, name="box")
    assert (failed["status"], "read_build_log" in failed["next"]) == ("failed", True)
    for part in ("error", "head", "tail"):
        log = call(door, alice, "read_build_log", build="box", part=part)
        assert (log["status"], log["part"], bool(log["lines"])) == ("failed", part, True)


def test_templates_and_quota_are_read(door: Door, alice: User, built: Chat) -> None:
    call(door, alice, "create_workspace", template="dev", name="box")
    names = [found["name"] for found in call(door, alice, "list_templates")["templates"]]
    assert names == ["dev"]
    template = call(door, alice, "read_template", template="acme/dev")
    assert template["name"] == "dev"
    (quota,) = call(door, alice, "read_quota")["quotas"]
    assert (quota["credits_consumed"], quota["budget"]) == (60, 100)
    workspace = call(door, alice, "read_workspace", workspace="box")
    assert (workspace["status"], workspace["daily_cost"]) == ("running", 60)


def test_a_preset_does_not_tell_what_is_sensitive(door: Door, alice: User, chat: Chat) -> None:
    chat.factory.declare(
        chat.template,
        parameters=(TemplateParameter(name="key", required=False, default="", sensitive=True),),
        presets=(TemplatePreset(name="large", parameters={"key": "hush"}),),
    )
    (preset,) = call(door, alice, "read_template", template="dev")["presets"]
    assert preset["parameters"] == {"key": "*redacted*"}


def test_nobody_sees_or_ends_the_workspace_of_another(
    door: Door, owner: User, alice: User, chat: Chat
) -> None:
    job = chat.factory.finished_build(
        chat.factory.workspace(owner=alice, template=chat.template, name="box")
    )
    with door.factory.database.begin() as session:
        build_id = str(session.get_one(ProvisionerJob, job.id).input["workspace_build_id"])
    for tool, arguments in (
        ("read_workspace", {"workspace": "box"}),
        ("delete_workspace", {"workspace": "alice/box"}),
        ("read_build", {"build": build_id}),
        ("cancel_build", {"build": build_id}),
        ("read_build_log", {"build": build_id}),
    ):
        assert "you have no" in call(door, owner, tool, **arguments)["error"]


@pytest.mark.parametrize("tool", ["create_workspace", "forecast_build"])
def test_a_token_that_may_only_read_starts_no_job(
    door: Door, alice: User, chat: Chat, tool: str
) -> None:
    async def doing(agent: Agent) -> tuple[set[str], str]:
        offered = set(await agent.tools())
        result = await agent.client.call_tool(tool, {"template": "dev", "wait_seconds": 0})
        return offered, result.structured_content["error"]

    offered, error = ask(by_http(door.url, door.token(alice, TokenScope.READ)), doing)
    assert offered == {one.name for one in OWNER_TOOLS.values() if one.is_for_readers}
    assert "only read" in error
    assert not chat.workspaces()


def test_a_change_is_in_the_audit_log(door: Door, alice: User, built: Chat) -> None:
    call(door, alice, "create_workspace", template="dev", name="box")
    entries = door.client(door.user("auditor")).send("GET", "audit").json()["audit_logs"]
    assert ("create", "alice/box") in {
        (entry["action"], entry["resource_target"]) for entry in entries
    }


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 401),
        ("POST", {"Authorization": "Bearer nonsense"}, 401),
        ("GET", {"Authorization": "Bearer nonsense"}, 405),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "https://["}, 403),
    ],
)
def test_strangers_are_turned_away(
    door: Door, method: str, headers: dict[str, str], status: int
) -> None:
    answer = door.client().http.request(method, "/mcp", headers=headers, json={})
    assert answer.status_code == status
    assert answer.json()["message"]


def test_a_cookie_is_no_token_here(door: Door, alice: User) -> None:
    http = door.client().http
    http.cookies.set("coder_session_token", door.token(alice))
    assert http.post("/mcp", json={}).status_code == 401


def test_a_server_that_stops_ends_the_waits(door: Door, alice: User, chat: Chat) -> None:
    door.site.hub.waker.close()
    ended = call(door, alice, "create_workspace", template="dev", name="box")
    assert "shuts down" in ended["error"]


@pytest.mark.parametrize("tool", OWNER_TOOLS.values(), ids=lambda tool: tool.name)
def test_a_tool_says_what_it_takes_and_answers(tool: Any) -> None:
    offered = offer(tool)
    assert offered.description
    assert offered.input_schema["type"] == "object"
    assert offered.output_schema is not None
    assert "error" in offered.output_schema["properties"]
    assert offered.annotations is not None
    assert not (tool.is_read_only and tool.is_destructive)
