"""Takes the pictures of docs/page.md: ``make pictures``. No test; it needs chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, sync_playwright

from db.jobs.declarations import ParameterOption, TemplateParameter, TemplatePreset
from db.schema.enums import JobStatus, Stage
from db.schema.tables import User
from tests.harness.api.door import Door
from tests.integration.chattool.chatting import Chat

IMAGES = Path(__file__).parents[4] / "docs" / "images"
WIDTH = 900
PLAN = (
    "terraform_data.disk: Plan to create",
    "terraform_data.machine: Plan to create",
    "Plan: 2 to add, 0 to change, 0 to destroy.",
)
PARAMETERS = (
    TemplateParameter(
        name="machine",
        required=False,
        default="small",
        options=tuple(
            ParameterOption(name=name.title(), value=name) for name in ("small", "large")
        ),
        description="how many processors and how much memory",
    ),
    TemplateParameter(name="region", required=True, description="where the machine is"),
)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield made
        made.close()


def paths_of(chat: Chat, owner: User) -> dict[str, str]:
    """Return the pages by name, after a morning of builds."""
    factory, ring = chat.factory, chat.template
    for name in ("api", "docs"):
        factory.build(factory.workspace(owner=chat.owner, template=ring, name=name))
        chat.build_next()
    failed = factory.workspace(owner=owner, template=ring, name="data")
    factory.finished_build(failed, status=JobStatus.FAILED, error="Error: no capacity in zone a")
    running = factory.running_build(
        factory.workspace(owner=owner, template=ring, name="web"), stage=Stage.PLAN
    )
    factory.write_lines(running, *PLAN)
    factory.build(factory.workspace(owner=owner, template=ring, name="lab"))
    factory.declare(
        ring,
        parameters=PARAMETERS,
        presets=(TemplatePreset(name="near", parameters={"region": "eu"}),),
    )
    return {
        "overview": "",
        "job": f"/jobs/{running.id}",
        "forecast": f"/forecast/template/{ring.id}",
        "quota": "/quota",
    }


def test_pictures_are_taken(door: Door, browser: Browser, owner: User, chat: Chat) -> None:
    themes: dict[str, Literal["light", "dark"]] = {"job": "dark", "quota": "dark"}
    for name, path in paths_of(chat, owner).items():
        context = browser.new_context(
            color_scheme=themes.get(name, "light"), viewport={"width": WIDTH, "height": 300}
        )
        cookie = {"name": "coder_session_token", "value": door.token(owner), "url": door.url}
        context.add_cookies([cookie])  # type: ignore[list-item]
        page = context.new_page()
        page.goto(f"{door.url}/ui{path}")
        page.screenshot(path=IMAGES / f"page-{name}.png", full_page=True)
        context.close()
