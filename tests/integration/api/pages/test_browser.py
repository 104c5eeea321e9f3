"""The live page in Chromium: for everybody to use, in both themes, and alive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from db.schema.enums import JobStatus
from db.schema.tables import User
from tests.harness.api.door import Door
from tests.harness.api.forms import PARAMETERS

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
TIMEOUT_MS = 30_000
PHONE: ViewportSize = {"width": 360, "height": 700}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab whose errors fail the test."""
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    made = context.new_page()
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield made
    context.close()
    assert errors == []


def sign_in(door: Door, page: Page, user: User) -> None:
    page.goto(f"{door.url}/ui")
    page.get_by_label("Token").fill(door.token(user))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/ui")


def test_pages_are_usable_by_everybody_in_both_themes_and_on_a_phone(
    door: Door, page: Page, owner: User, alice: User
) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner, name="dev")
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    job = door.factory.finished_build(workspace, status=JobStatus.FAILED, error="no disk")
    sign_in(door, page, owner)
    door.factory.declare(template, parameters=PARAMETERS)
    paths = ["", "/jobs", f"/jobs/{job.id}", "/workspaces", f"/workspaces/{workspace.id}"]
    paths += ["/templates", f"/versions/{template.active_version_id}", "/quota", "/workers"]
    paths += [f"/forecast/workspace/{workspace.id}"]
    for path in [*paths, "/audit", "/webhooks"]:
        page.goto(f"{door.url}/ui{path}")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            found = Axe().run(page).response["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], (path, theme)
    page.set_viewport_size(PHONE)
    page.goto(f"{door.url}/ui/jobs/{job.id}")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_log_grows_while_it_is_looked_at(
    door: Door, page: Page, owner: User, alice: User
) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner, name="dev")
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    job = door.factory.running_build(workspace)
    door.factory.write_lines(job, "the first line")
    sign_in(door, page, alice)
    page.goto(f"{door.url}/ui/jobs/{job.id}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("the first line")
    expect(page.get_by_role("status")).to_have_text("following")
    door.factory.write_lines(job, "the second <b>line</b>")
    expect(log).to_contain_text("the second <b>line</b>")
    page.get_by_label("Search in the log").fill("SECOND")
    page.get_by_label("Search in the log").press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 line")
    door.factory.finish(job)
    expect(page.locator("h1 .status")).to_have_text("succeeded")


def test_lists_change_with_events(door: Door, page: Page, owner: User, alice: User) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner, name="dev")
    sign_in(door, page, alice)
    page.goto(f"{door.url}/ui/workspaces")
    expect(page.get_by_text("There is no workspace.")).to_be_visible()
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace)
    expect(page.get_by_role("link", name="alice/box")).to_be_visible()


def test_the_keyboard_leads_past_the_navigation(door: Door, page: Page, alice: User) -> None:
    sign_in(door, page, alice)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


def test_a_button_stops_a_workspace(door: Door, page: Page, owner: User, alice: User) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner, name="dev")
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    door.factory.finished_build(workspace)
    sign_in(door, page, alice)
    page.goto(f"{door.url}/ui/workspaces/{workspace.id}")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("stop of alice/box")
    expect(page.locator("h1 .status")).to_have_text("pending")
