"""Forecasts on the live page: a form of versions, presets and values, and what a start would do."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from db.jobs.declarations import TemplatePreset
from db.schema.enums import JobStatus, TokenScope
from db.schema.tables import User, Workspace
from tests.harness.api.door import Door
from tests.harness.api.forms import PARAMETERS, csrf_in
from tests.integration.chattool.chatting import Chat

PRESET = TemplatePreset(name="near", parameters={"zone": "here"})


@pytest.fixture
def declared(chat: Chat) -> Chat:
    """The chat, whose template has a preset and parameters, one of them without a default."""
    chat.factory.declare(chat.template, parameters=PARAMETERS, presets=(PRESET,))
    return chat


@dataclass(frozen=True)
class Form:
    """The form of a subject, in a browser."""

    browser: httpx.Client
    path: str

    def read(self, **query: str) -> httpx.Response:
        return self.browser.get(self.path, params=query)

    def send(self, **fields: str) -> httpx.Response:
        named = {name.replace("value_", "value."): text for name, text in fields.items()}
        return self.browser.post(self.path, data={"csrf": csrf_in(self.read()), **named})


def form_of(browser: httpx.Client, chat: Chat) -> Form:
    return Form(browser, f"/ui/forecast/template/{chat.template.id}")


def job_in(answer: httpx.Response) -> uuid.UUID:
    assert answer.status_code == 303, answer.text
    return uuid.UUID(answer.headers["Location"].removeprefix("/ui/jobs/"))


def consuming(chat: Chat) -> Workspace:
    """Another workspace of alice, which costs 60 of her 100 credits."""
    workspace = chat.factory.workspace(owner=chat.owner, template=chat.template, name="other")
    chat.factory.build(workspace)
    assert chat.build_next() is JobStatus.SUCCEEDED
    return workspace


def test_the_form_has_the_versions_presets_and_parameters(
    sign_in: Any, alice: User, declared: Chat
) -> None:
    page = form_of(sign_in(alice), declared).read().text
    for part in ("Small</option>", "near</option>", "where it runs", 'name="value.zone"'):
        assert part in page
    assert "hush" not in page


def test_a_start_that_fits_is_said_to_fit(sign_in: Any, alice: User, declared: Chat) -> None:
    browser = sign_in(alice)
    answer = form_of(browser, declared).send(value_zone="here", value_disk="2")
    assert declared.build_next() is JobStatus.SUCCEEDED
    page = browser.get(f"/ui/jobs/{job_in(answer)}").text
    assert "The quota would take the start of a new workspace." in page
    assert "It costs 60 credits per day; other workspaces use 0 of 100." in page


def test_a_start_that_does_not_fit_names_what_is_in_use(
    sign_in: Any, alice: User, chat: Chat
) -> None:
    other = consuming(chat)
    browser = sign_in(alice)
    answer = form_of(browser, chat).send()
    assert chat.build_next() is JobStatus.SUCCEEDED
    page = browser.get(f"/ui/jobs/{job_in(answer)}").text
    assert "The quota would refuse the start of a new workspace." in page
    assert f"/ui/workspaces/{other.id}" in page


def test_a_workspace_is_forecast_without_its_own_cost(
    sign_in: Any, alice: User, chat: Chat
) -> None:
    workspace = consuming(chat)
    browser = sign_in(alice)
    answer = Form(browser, f"/ui/forecast/workspace/{workspace.id}").send()
    assert chat.build_next() is JobStatus.SUCCEEDED
    page = browser.get(f"/ui/jobs/{job_in(answer)}").text
    assert "The quota would take the start of other." in page
    assert "It costs 60 credits per day; other workspaces use 0 of 100." in page


def test_a_preset_gives_the_values_that_it_has(sign_in: Any, alice: User, declared: Chat) -> None:
    form = form_of(sign_in(alice), declared)
    preset = form.read().text.partition("near</option>")[0].rpartition('value="')[2].partition('"')
    assert form.send(preset=preset[0]).status_code == 303


def test_a_refused_value_is_explained_at_its_field_and_kept(
    sign_in: Any, alice: User, declared: Chat
) -> None:
    answer = form_of(sign_in(alice), declared).send(value_disk="9", value_key="typed-secret")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert '<b class="failed">' in answer.text
    assert "typed-secret" not in answer.text


def test_a_form_of_another_page_forecasts_nothing(
    door: Door, sign_in: Any, alice: User, chat: Chat
) -> None:
    answer = form_of(sign_in(alice), chat).browser.post(
        f"/ui/forecast/template/{chat.template.id}", data={"csrf": "0" * 64}
    )
    assert answer.status_code == 403
    assert chat.factory.claim() is None


def test_a_token_that_may_only_read_forecasts_nothing(
    sign_in: Any, alice: User, chat: Chat
) -> None:
    form = form_of(sign_in(alice, TokenScope.READ), chat)
    assert "Forecast</button>" not in form.read().text
    assert form.send().status_code == 403
    assert chat.factory.claim() is None


def test_nobody_forecasts_the_workspace_of_another(door: Door, sign_in: Any, chat: Chat) -> None:
    path = f"/ui/forecast/workspace/{consuming(chat).id}"
    mate = sign_in(door.user(name="bob"))
    assert mate.get(path).status_code == 404
    admin = sign_in(door.user("organization-template-admin", name="tom"))
    assert Form(admin, path).send().status_code == 403
    assert chat.factory.claim() is None


def test_a_forecast_is_shown_to_its_user_only(
    door: Door, sign_in: Any, alice: User, chat: Chat
) -> None:
    path = f"/ui/jobs/{job_in(form_of(sign_in(alice), chat).send())}"
    assert sign_in(door.user(name="bob")).get(path).status_code == 404


def test_a_version_of_another_template_is_not_offered(
    sign_in: Any, alice: User, chat: Chat
) -> None:
    other = chat.push({})
    answer = form_of(sign_in(alice), chat).read(version=str(other.active_version_id))
    assert answer.status_code == 404
