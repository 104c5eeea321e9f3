"""``workspace show``: the resources of a workspace and what runs in them."""

from __future__ import annotations

from typing import Any

import pytest

from db.jobs.agents import Agent, App
from db.jobs.resources import Resource
from db.jobs.results import BuildResult
from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine

SHOW = ("workspace", "show", "box", "--owner", "alice")
EDITOR = App(slug="code", display_name="Editor")
HIDDEN = App(slug="hidden", display_name="Hidden", hidden=True)


@pytest.fixture(autouse=True)
def box(factory: Factory) -> None:
    """The workspace "box" of alice, after a build."""
    home = factory.organization(name="default")
    alice = factory.user(organization=home, username="alice")
    template = factory.template(organization=home, created_by=alice)
    left = [
        Resource(
            type="pod",
            name="dev",
            daily_cost=4,
            agents=(Agent(name="main", apps=(EDITOR, HIDDEN)),),
        ),
        Resource(type="volume", name="home", daily_cost=1),
        Resource(type="random_id", name="seed", hide=True),
    ]
    factory.finished_build(
        factory.workspace(owner=alice, template=template, name="box"),
        result=BuildResult(resources=left),
    )


def test_resources_are_shown_with_their_agents_and_apps(run: CommandLine) -> None:
    shown = run(*SHOW).stdout
    assert [line.split() for line in shown.splitlines()[-3:]] == [
        ["RESOURCE", "DAILY", "COST", "AGENTS", "APPS"],
        ["pod.dev", "4", "main", "Editor"],
        ["volume.home", "1"],
    ]


def test_resources_are_shown_as_json(run: CommandLine) -> None:
    shown: dict[str, Any] = run.json(*SHOW)
    assert shown["resources"] == [
        {"type": "pod", "name": "dev", "daily_cost": 4, "agents": ["main"], "apps": ["Editor"]},
        {"type": "volume", "name": "home", "daily_cost": 1, "agents": [], "apps": []},
    ]
