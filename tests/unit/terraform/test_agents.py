"""Where agents are attached, and what is attached to them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from db.jobs.agents import Agent, AgentMetadata, App, Devcontainer, Monitor, Script
from db.jobs.resources import Resource
from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.instances import Instance
from provisioner.engines.terraform.conversion.resources import resources_of
from tests.harness.instances import managed

POD, AGENT, OTHER = managed("pod.dev"), managed("coder_agent.dev"), managed("coder_agent.other")
EDGES = (
    ("pod.dev", "coder_agent.dev"),
    ("coder_app.x", "coder_agent.dev"),
    ("coder_script.x", "coder_agent.dev"),
    ("coder_env.x", "coder_agent.dev"),
    ("coder_devcontainer.x", "coder_agent.dev"),
)
TOKEN = "0b0e6a3e-9d1c-4c55-8f25-6b3a1c7b6a01"


def resources(*instances: Instance, edges: tuple[tuple[str, str], ...]) -> tuple[Resource, ...]:
    return resources_of(instances, Graph(edges))


def agents(
    *instances: Instance, edges: tuple[tuple[str, str], ...] = EDGES
) -> list[tuple[str, list[str]]]:
    """Return the resources by name, with the names of their agents."""
    found = resources(*instances, edges=edges)
    return [(each.name, [agent.name for agent in each.agents]) for each in found]


def agent_of(*instances: Instance, **attributes: Any) -> Agent:
    agent = managed("coder_agent.dev", **attributes)
    (pod, *_) = resources(POD, agent, *instances, edges=EDGES)
    return pod.agents[0]


def refusal(*instances: Instance, edges: tuple[tuple[str, str], ...] = EDGES) -> str:
    with pytest.raises(ConversionError) as caught:
        resources(*instances, edges=edges)
    return str(caught.value).removeprefix("convert state for graph: ")


def app(slug: str, name: str = "x", **attributes: Any) -> Instance:
    return managed(f"coder_app.{name}", slug=slug, **attributes)


def test_an_agent_is_attached_to_the_nearest_resource_that_needs_it() -> None:
    edges = (("pod.dev", "local.env"), ("local.env", "coder_agent.dev"), ("proxy.dev", "pod.dev"))
    assert agents(managed("proxy.far"), POD, AGENT, edges=edges) == [("far", []), ("dev", ["dev"])]


def test_an_agent_is_attached_to_the_first_by_name_of_several_as_near() -> None:
    edges = (("volume.home", "coder_agent.dev"), ("pod.dev", "coder_agent.dev"))
    assert agents(managed("volume.home"), POD, AGENT, edges=edges) == [
        ("home", []),
        ("dev", ["dev"]),
    ]


def test_coder_s_own_resources_host_no_agent_but_an_external_one() -> None:
    edges = (
        ("coder_env.x", "coder_agent.dev"),
        ("coder_external_agent.away", "coder_agent.dev"),
    )
    found = agents(managed("coder_env.x"), managed("coder_external_agent.away"), AGENT, edges=edges)
    assert found == [("x", []), ("away", ["dev"])]


def test_an_agent_that_no_resource_needs_is_left_out() -> None:
    assert agents(managed("volume.home"), AGENT, app("code")) == [("home", [])]


def test_a_resource_may_host_several_agents() -> None:
    edges = (*EDGES, ("pod.dev", "coder_agent.other"))
    assert agents(POD, AGENT, OTHER, edges=edges) == [("dev", ["dev", "other"])]


def test_an_agent_in_a_counted_module_is_attached_there() -> None:
    edges = (("module.m.pod.dev", "module.m.coder_agent.dev"),)
    found = agents(
        managed("module.m[0].pod.dev"), managed("module.m[0].coder_agent.dev"), edges=edges
    )
    assert found == [("dev", ["dev"])]


def test_an_agent_cannot_be_on_two_machines() -> None:
    pods = [managed("pod.dev", key=key) for key in (0, 1)]
    assert refusal(*pods, AGENT) == (
        'workspace agent name "dev" already exists in this workspace build'
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "agent name cannot be empty"),
        (
            "a_b",
            (
                'agent name "a_b" contains underscores which are no longer supported, please use'
                ' hyphens instead (regex: "(?i)^[a-z0-9](-?[a-z0-9])*$")'
            ),
        ),
        ("a--b", 'agent name "a--b" does not match regex "(?i)^[a-z0-9](-?[a-z0-9])*$"'),
        ("a\n", 'agent name "a\n" does not match regex "(?i)^[a-z0-9](-?[a-z0-9])*$"'),
        ("é", 'agent name "é" does not match regex "(?i)^[a-z0-9](-?[a-z0-9])*$"'),
        ("a" * 65, f'agent name "{"a" * 65}" is longer than 64 characters'),
    ],
)
def test_the_name_of_an_agent_is_a_host_name(name: str, message: str) -> None:
    assert refusal(Instance(type="coder_agent", name=name)) == message


def test_names_of_agents_are_unique_whatever_their_case() -> None:
    assert refusal(AGENT, managed("module.m.coder_agent.DEV")) == "duplicate agent name: DEV"


def test_an_agent_has_what_its_resource_says() -> None:
    found = agent_of(
        id="1",
        os="linux",
        arch="arm64",
        auth="token",
        token=TOKEN,
        dir="/work",
        env={"A": "1"},
        connection_timeout=0,
        troubleshooting_url="https://example.com/help",
        motd_file="/etc/motd",
        order=2,
        api_key_scope="no_user_data",
        display_apps=[{"vscode": False, "vscode_insiders": True, "web_terminal": False}],
        metadata=[
            {"key": "cpu", "display_name": "CPU", "script": "top", "interval": 5, "timeout": 1}
        ],
        resources_monitoring=[
            {
                "memory": [{"enabled": True, "threshold": 80}],
                "volume": [{"path": "/home", "enabled": False, "threshold": 90}],
            }
        ],
    )
    assert found == Agent(
        name="dev",
        token=TOKEN,
        architecture="arm64",
        operating_system="linux",
        directory="/work",
        environment={"A": "1"},
        connection_timeout_s=0,
        troubleshooting_url="https://example.com/help",
        motd_file="/etc/motd",
        order=2,
        api_key_scope="no_user_data",
        display_apps=("vscode_insiders", "ssh_helper", "port_forwarding_helper"),
        metadata=(
            AgentMetadata(key="cpu", display_name="CPU", script="top", interval_s=5, timeout_s=1),
        ),
        memory=Monitor(enabled=True, threshold=80),
        volumes=(Monitor(enabled=False, threshold=90, path="/home"),),
    )


def test_an_agent_that_says_little_has_the_defaults() -> None:
    assert agent_of() == Agent(
        name="dev",
        connection_timeout_s=120,
        display_apps=("vscode", "ssh_helper", "port_forwarding_helper", "web_terminal"),
    )


def test_a_token_is_a_uuid_and_is_not_shown() -> None:
    assert refusal(POD, managed("coder_agent.dev", token="secret")) == (
        "invalid auth token format; must be uuid"
    )


@pytest.mark.parametrize(
    ("host", "attribute"),
    [
        ("google_compute_instance", "instance_id"),
        ("aws_instance", "id"),
        ("aws_spot_instance_request", "spot_instance_id"),
        ("azurerm_linux_virtual_machine", "virtual_machine_id"),
        ("azurerm_windows_virtual_machine", "virtual_machine_id"),
    ],
)
def test_an_agent_that_signs_in_by_its_cloud_has_the_id_of_its_machine(
    host: str, attribute: str
) -> None:
    machine = managed(f"{host}.dev", **{attribute: "i-1"})
    agent = managed("coder_agent.dev", auth="x-instance-identity", token=TOKEN)
    (found,) = resources(machine, agent, edges=((f"{host}.dev", "coder_agent.dev"),))
    assert (found.agents[0].instance_id, found.agents[0].token) == ("i-1", "")


def test_a_coder_agent_instance_says_the_id_of_the_machine() -> None:
    named = managed("coder_agent_instance.x", agent_id="1", instance_id="i-2")
    assert agent_of(named, id="1", auth="google-instance-identity").instance_id == "i-2"
    assert agent_of(named, id="1", auth="token").instance_id == ""


@pytest.mark.parametrize(
    ("attributes", "blocks"),
    [
        ({}, False),
        ({"startup_script_behavior": "blocking"}, True),
        ({"startup_script_behavior": "non-blocking", "login_before_ready": False}, False),
        ({"login_before_ready": False}, True),
        ({"login_before_ready": True}, False),
    ],
)
def test_an_agent_s_own_scripts_come_first(attributes: dict[str, object], blocks: bool) -> None:
    later = managed("coder_script.x", display_name="Later", script="echo", cron="* * * * * *")
    found = agent_of(later, startup_script="up", shutdown_script="down", **attributes)
    assert found.scripts == (
        Script(
            display_name="Startup Script",
            script="up",
            icon="/emojis/25b6-fe0f.png",
            log_path="coder-startup-script.log",
            run_on_start=True,
            start_blocks_login=blocks,
        ),
        Script(
            display_name="Shutdown Script",
            script="down",
            icon="/emojis/25c0.png",
            log_path="coder-shutdown-script.log",
            run_on_stop=True,
        ),
        Script(display_name="Later", script="echo", cron="* * * * * *"),
    )


def test_an_app_has_what_its_resource_says() -> None:
    given = app(
        "code",
        display_name="Editor",
        icon="/icon/code.svg",
        url="http://localhost:1",
        subdomain=True,
        share="public",
        healthcheck=[{"url": "http://localhost:1/up", "interval": Decimal(5), "threshold": 6}],
        order=1,
        group="Tools",
        hidden=True,
        open_in="tab",
        tooltip="Edit",
        id=TOKEN,
    )
    (found,) = agent_of(given).apps
    assert found == App(
        slug="code",
        id=TOKEN,
        display_name="Editor",
        icon="/icon/code.svg",
        url="http://localhost:1",
        subdomain=True,
        sharing_level="public",
        healthcheck_url="http://localhost:1/up",
        healthcheck_interval_s=5,
        healthcheck_threshold=6,
        order=1,
        group="Tools",
        hidden=True,
        open_in="tab",
        tooltip="Edit",
    )


def test_an_app_that_says_little_has_the_defaults() -> None:
    (found,) = agent_of(managed("coder_app.x", share="everybody")).apps
    assert found == App(slug="x", display_name="x")


@pytest.mark.parametrize("slug", ["Code", "a_b", "-a", "a--b", "a\n"])
def test_a_slug_is_a_host_name_in_small_letters(slug: str) -> None:
    assert refusal(app(slug)) == (
        f'app slug "{slug}" does not match regex "^[a-z0-9](-?[a-z0-9])*$"'
    )


def test_slugs_are_unique_in_a_template_attached_or_not() -> None:
    assert refusal(app("code"), app("code", name="y")) == (
        'duplicate app slug, they must be unique per template: "code"'
    )


def test_after_the_apply_a_child_names_its_parent() -> None:
    dev, other = managed("coder_agent.dev", id="1"), managed("coder_agent.other", id="2")
    edges = (*EDGES, ("pod.dev", "coder_agent.other"))
    children = (app("a", agent_id="2"), managed("module.m[0].coder_app.b", agent_id="1"))
    (pod,) = resources(POD, dev, other, *children, edges=edges)
    assert [[each.slug for each in agent.apps] for agent in pod.agents] == [["b"], ["a"]]


def test_before_the_apply_a_child_belongs_to_the_nearest_agent() -> None:
    edges = (
        ("pod.dev", "coder_agent.dev"),
        ("pod.dev", "coder_agent.other"),
        ("module.m.coder_app.x", "module.m.var.agent_id"),
        ("module.m.var.agent_id", "coder_agent.other"),
    )
    child = managed("module.m[0].coder_app.x", slug="code")
    (pod,) = resources(POD, AGENT, OTHER, child, edges=edges)
    assert [len(agent.apps) for agent in pod.agents] == [0, 1]


def test_a_child_of_nobody_is_left_out() -> None:
    assert agent_of(app("code", agent_id="9"), id="1").apps == ()


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("replace", "new"),
        (None, "new"),
        ("append", "old:new"),
        ("prepend", "new:old"),
    ],
)
def test_variables_are_merged_in_the_order_of_their_addresses(
    strategy: str | None, expected: str
) -> None:
    later = managed("coder_env.x", key="b", name="A", value="new", merge_strategy=strategy)
    first = managed("coder_env.x", key="a", name="A", value="old")
    assert agent_of(later, first).environment == {"A": expected}


def test_an_empty_variable_is_replaced_whatever_the_strategy() -> None:
    first = managed("coder_env.x", key=0, name="A", value="")
    later = managed("coder_env.x", key=1, name="A", value="new", merge_strategy="append")
    assert agent_of(first, later).environment == {"A": "new"}


def test_a_variable_may_ask_to_be_the_only_one() -> None:
    twice = [managed("coder_env.x", key=key, name="A", merge_strategy="error") for key in (0, 1)]
    assert refusal(POD, AGENT, *twice) == (
        'duplicate env var "A": merge_strategy is "error" but variable is already defined'
    )


def test_an_agent_s_own_variables_win() -> None:
    given = managed("coder_env.x", name="A", value="from outside")
    assert agent_of(given, env={"A": "own"}).environment == {"A": "own"}


def test_what_names_a_devcontainer_runs_in_it() -> None:
    container = managed(
        "coder_devcontainer.web",
        agent_id="1",
        subagent_id="2",
        workspace_folder="/web",
        config_path="/web/.devcontainer.json",
    )
    inner = (app("shop", agent_id="2"), managed("coder_env.x", agent_id="2", name="A", value="1"))
    assert agent_of(container, *inner, id="1").devcontainers == (
        Devcontainer(
            name="web",
            workspace_folder="/web",
            config_path="/web/.devcontainer.json",
            apps=(App(slug="shop", display_name="shop"),),
            environment={"A": "1"},
        ),
    )


def test_a_devcontainer_that_is_an_agent_needs_another_name() -> None:
    container = managed("coder_devcontainer.dev", agent_id="1", subagent_id="2")
    agent = managed("coder_agent.dev", id="1")
    assert refusal(POD, agent, container, app("shop", agent_id="2")) == (
        'workspace agent name "dev" already exists in this workspace build'
    )


def test_a_devcontainer_in_which_nothing_runs_is_no_agent() -> None:
    container = managed("coder_devcontainer.dev", agent_id="1", subagent_id="2")
    (found,) = agent_of(container, id="1").devcontainers
    assert not found.is_agent
