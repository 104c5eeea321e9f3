"""Agents that a build left: how they are stored, and what readers get."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db.engine import Database
from db.jobs.agents import Agent, AgentMetadata, App, Devcontainer, Monitor, Script
from db.jobs.resources import Resource
from db.jobs.results import BuildResult
from db.jobs.transitions import ClaimedJob
from db.reads.builds import get_builds
from db.schema.tables import Workspace
from tests.harness.factory import Factory

TOKEN, APP_ID = "0b0e6a3e-9d1c-4c55-8f25-6b3a1c7b6a01", "5a1bfa35-7be8-4b1c-bb3b-07cb8c2b4f6c"
CONNECTED = "first_connected_at = now(), last_connected_at = now()"
AGENT = Agent(
    name="dev",
    token=TOKEN,
    architecture="amd64",
    operating_system="linux",
    directory="/work",
    environment={"A": "1"},
    display_apps=("vscode", "web_terminal"),
    apps=(App(slug="code", id=APP_ID, display_name="Editor", healthcheck_url="http://x/up"),),
    scripts=(
        Script(display_name="Start", script="up", run_on_start=True, start_blocks_login=True),
    ),
    metadata=(AgentMetadata(key="cpu", script="top", interval_s=5),),
    memory=Monitor(enabled=True, threshold=80),
    volumes=(Monitor(enabled=True, threshold=90, path="/home"),),
)


def left(*agents: Agent) -> BuildResult:
    return BuildResult(resources=[Resource(type="pod", name="dev", agents=agents)])


def finish(factory: Factory, *agents: Agent, workspace: Workspace | None = None) -> ClaimedJob:
    workspace = workspace or factory.any_workspace()
    return factory.finished_build(workspace, result=left(*agents))


def agents_of(database: Database, workspace: Workspace) -> list[dict[str, Any]]:
    """The agents of the latest build, as readers get them."""
    with database.begin() as session:
        build = get_builds(session, workspace.id, limit=1)[0].model_dump(mode="json")
    [resource] = build["resources"]
    found: list[dict[str, Any]] = resource.get("agents", [])
    return found


def rows(database: Database, statement: str, **values: object) -> list[tuple[Any, ...]]:
    with database.begin() as session:
        return [tuple(row) for row in session.execute(text(statement), values)]


def test_a_build_shows_the_agents_of_its_resources(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    finish(factory, AGENT, workspace=workspace)
    [agent] = agents_of(database, workspace)
    shown = ("name", "status", "architecture", "operating_system", "directory", "display_apps")
    assert [agent[name] for name in shown] == [
        "dev",
        "connecting",
        "amd64",
        "linux",
        "/work",
        ["vscode", "web_terminal"],
    ]
    assert agent["environment_variables"] == {"A": "1"}
    assert agent["health"] == {"healthy": False, "reason": "the agent has not connected yet"}
    assert agent["startup_script_behavior"] == "blocking"


def test_an_agent_shows_its_apps_scripts_and_log_sources(
    database: Database, factory: Factory
) -> None:
    workspace = factory.any_workspace()
    finish(factory, AGENT, workspace=workspace)
    [agent] = agents_of(database, workspace)
    [app], [script], [source] = agent["apps"], agent["scripts"], agent["log_sources"]
    assert (app["id"], app["slug"], app["health"]) == (APP_ID, "code", "initializing")
    assert "url" not in app
    assert (script["display_name"], script["run_on_start"], script["timeout"]) == ("Start", True, 0)
    assert script["log_source_id"] == source["id"]


def test_the_token_of_an_agent_is_stored_and_not_shown(
    database: Database, factory: Factory
) -> None:
    workspace = factory.any_workspace()
    finish(factory, AGENT, workspace=workspace)
    assert rows(database, "SELECT auth_token FROM workspace_agents") == [(uuid.UUID(TOKEN),)]
    assert TOKEN not in str(agents_of(database, workspace))


def test_metadata_and_monitors_are_stored(database: Database, factory: Factory) -> None:
    finish(factory, AGENT)
    assert rows(database, "SELECT key, script, interval FROM workspace_agent_metadata") == [
        ("cpu", "top", 5)
    ]
    assert rows(database, "SELECT threshold FROM workspace_agent_memory_resource_monitors") == [
        (80,)
    ]
    assert rows(
        database, "SELECT path, threshold, state FROM workspace_agent_volume_resource_monitors"
    ) == [("/home", 90, "OK")]


def test_a_devcontainer_with_apps_is_an_agent_next_to_its_parent(
    database: Database, factory: Factory
) -> None:
    workspace = factory.any_workspace()
    web = Devcontainer(name="web", workspace_folder="/web", apps=(App(slug="shop"),))
    finish(factory, Agent(name="dev", devcontainers=(web,)), workspace=workspace)
    dev, inner = agents_of(database, workspace)
    assert (inner["name"], inner["parent_id"], inner["directory"]) == ("web", dev["id"], "/web")
    assert [app["slug"] for app in inner["apps"]] == ["shop"]
    assert [script["display_name"] for script in dev["scripts"]] == ["Dev Container (web)"]
    assert rows(database, "SELECT name, subagent_id FROM workspace_agent_devcontainers") == [
        ("web", uuid.UUID(inner["id"]))
    ]


def test_texts_that_are_longer_than_their_columns_are_cut(
    database: Database, factory: Factory
) -> None:
    long = "x" * 70_000
    inner = Devcontainer(name=long, workspace_folder=long, apps=(App(slug="shop"),))
    metadata = AgentMetadata(key=long, display_name=long, script=long)
    finish(
        factory,
        Agent(
            name=f"of {long}",
            architecture=long,
            operating_system=long,
            directory=long,
            metadata=(metadata,),
            devcontainers=(inner,),
        ),
    )
    lengths = "length(name), length(architecture), length(operating_system), length(directory)"
    assert rows(database, f"SELECT {lengths} FROM workspace_agents") == [(64, 64, 64, 4096)] * 2
    assert rows(
        database,
        "SELECT length(key), length(display_name), length(script) FROM workspace_agent_metadata",
    ) == [(127, 127, 65535)]


def test_the_next_build_takes_an_app_over_by_its_id(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    finish(factory, AGENT, workspace=workspace)
    finish(factory, AGENT, workspace=workspace)
    assert rows(database, "SELECT id FROM workspace_apps") == [(uuid.UUID(APP_ID),)]
    [agent] = agents_of(database, workspace)
    assert [app["id"] for app in agent["apps"]] == [APP_ID]


def test_no_build_takes_an_app_of_another_workspace(database: Database, factory: Factory) -> None:
    first, second = factory.any_workspace(), factory.any_workspace()
    finish(factory, AGENT, workspace=first)
    finish(factory, AGENT, workspace=second)
    ids = [agents_of(database, each)[0]["apps"][0]["id"] for each in (first, second)]
    assert (ids[0] == APP_ID, ids[1] == APP_ID) == (True, False)


def test_a_build_has_no_two_agents_of_one_name(factory: Factory) -> None:
    with pytest.raises(IntegrityError, match='agent name "DEV" already exists in this workspace'):
        finish(factory, Agent(name="dev"), Agent(name="DEV"))


def test_what_does_not_fit_is_cut(database: Database, factory: Factory) -> None:
    long = "x\x00" * 70_000
    finish(
        factory,
        Agent(
            name="dev",
            directory=long,
            architecture=long,
            metadata=(AgentMetadata(key=long, script=long), AgentMetadata(key=long)),
            apps=(App(slug="a", display_name=long, icon=long, url=long, tooltip=long),),
            scripts=(Script(display_name=long, script=long, icon=long),),
        ),
    )
    assert rows(database, "SELECT length(directory) FROM workspace_agents") == [(4096,)]
    assert rows(database, "SELECT length(url) FROM workspace_apps") == [(65534,)]


def test_an_agent_goes_with_its_build(database: Database, factory: Factory) -> None:
    job = finish(factory, AGENT)
    rows(database, "DELETE FROM workspace_resources WHERE job_id = :id RETURNING 1", id=job.id)
    for table in ("workspace_agents", "workspace_apps", "workspace_agent_scripts"):
        assert rows(database, f'SELECT count(*) FROM "{table}"') == [(0,)]


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ("created_at = now() - interval '121 seconds'", "timeout"),
        (CONNECTED, "connected"),
        (f"{CONNECTED}, disconnected_at = now() + interval '1 second'", "disconnected"),
    ],
)
def test_the_status_of_an_agent_follows_from_when_it_connected(
    database: Database, factory: Factory, columns: str, status: str
) -> None:
    workspace = factory.any_workspace()
    finish(factory, AGENT, workspace=workspace)
    rows(database, f"UPDATE workspace_agents SET {columns} RETURNING 1")
    assert agents_of(database, workspace)[0]["status"] == status


def test_a_build_tells_of_tasks_and_external_agents(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    task = Resource(type="coder_ai_task", name="dev")
    factory.finished_build(workspace, result=BuildResult(resources=[task]))
    with database.begin() as session:
        [build] = get_builds(session, workspace.id)
    assert (build.has_ai_task, build.has_external_agent) == (True, False)
