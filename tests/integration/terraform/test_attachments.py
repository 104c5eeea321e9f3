"""What is attached to which resource in the templates of common shapes, by the engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from db.jobs.resources import Resource
from db.schema.enums import TimingStage, Transition
from provisioner.engines.graph import Graph
from provisioner.engines.port import BuildContext
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.host.interrupt import Interrupt
from tests.harness.terraform import bare_environment

TEMPLATES = Path(__file__).parents[2] / "templates"
Attached = dict[str, tuple[int, dict[str, set[str]]]]

# For each host its cost, and the apps of each of its agents and development containers.
RUNNING: dict[str, Attached] = {
    "docker": {
        "docker_container.workspace": (4, {"main": {"preview", "code-server"}}),
        "docker_image.main": (0, {}),
        "docker_volume.home": (1, {}),
    },
    "devcontainer": {
        "coder_devcontainer.project": (0, {}),
        "docker_container.workspace": (0, {"main": set(), "project": {"inner"}}),
    },
    "external-agent": {"coder_external_agent.main": (0, {"main": {"files"}})},
}
STOPPED: Attached = {"docker_image.main": (0, {}), "docker_volume.home": (1, {})}


def attached(resources: Iterable[Resource]) -> Attached:
    return {
        f"{found.type}.{found.name}": (found.daily_cost, dict(_apps(found))) for found in resources
    }


def _apps(resource: Resource) -> Iterable[tuple[str, set[str]]]:
    for agent in resource.agents:
        yield agent.name, {app.slug for app in agent.apps}
        for container in agent.devcontainers:
            yield container.name, {app.slug for app in container.apps}


@pytest.fixture
def engine(terraform: Path) -> TerraformEngine:
    return TerraformEngine(terraform, grace=timedelta(seconds=30))


def context_of(
    shape: str, cli_config: Path, tmp_path: Path, transition: Transition
) -> BuildContext:
    return BuildContext(
        files={},
        directory=tmp_path / "template",
        transition=transition,
        environment={
            **bare_environment(cli_config, tmp_path),
            "CODER_WORKSPACE_TRANSITION": transition.value,
        },
        variables={},
        sensitive=frozenset(),
        log=lambda _level, _text: None,
        interrupt=Interrupt(),
        timeout=timedelta(seconds=120),
        unpack=lambda: _copy(TEMPLATES / shape, tmp_path / "template"),
    )


def _copy(template: Path, directory: Path) -> None:
    shutil.copytree(template, directory)


@pytest.mark.parametrize("shape", sorted(RUNNING))
def test_a_plan_and_an_apply_attach_the_same_to_a_shape(
    engine: TerraformEngine, cli_config: Path, tmp_path: Path, shape: str
) -> None:
    context = context_of(shape, cli_config, tmp_path, Transition.START)
    engine.init(context)
    plan = engine.plan(context)
    applied = engine.apply(replace(context, graph=plan.graph))
    assert attached(plan.resources) == attached(applied.resources) == RUNNING[shape]


def test_a_build_whose_version_has_a_graph_asks_for_none(
    engine: TerraformEngine, cli_config: Path, tmp_path: Path
) -> None:
    context = context_of("external-agent", cli_config, tmp_path, Transition.START)
    engine.init(context)
    asked = engine.plan(context)
    given = engine.plan(replace(context, graph=Graph(asked.graph.edges())))
    stages = [{timing.stage for timing in plan.timings} for plan in (asked, given)]
    assert [TimingStage.GRAPH in found for found in stages] == [True, False]
    assert attached(given.resources) == RUNNING["external-agent"]


def test_a_stop_attaches_no_agent(
    engine: TerraformEngine, cli_config: Path, tmp_path: Path
) -> None:
    context = context_of("docker", cli_config, tmp_path, Transition.STOP)
    engine.init(context)
    assert attached(engine.plan(context).resources) == STOPPED
