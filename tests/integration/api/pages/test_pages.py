"""The live page: what each role sees, what buttons do, and what a stranger cannot do."""

from __future__ import annotations

import re
import uuid
from typing import Any

import httpx
import pytest

from db.catalog.dryruns import existing_workspace
from db.jobs.declarations import TemplateParameter, TemplatePreset
from db.schema.enums import JobErrorCode, JobStatus, TokenScope
from db.schema.tables import Circuit, OrganizationMember, User
from tests.harness.api.client import open_http
from tests.harness.api.door import Door
from tests.harness.api.forms import csrf_in
from tests.harness.threadworker import sign_on
from worker.planning import enqueue_dry_run

COOKIE = "coder_session_token"
EVERY_PAGE = (
    "/ui",
    "/ui/jobs",
    "/ui/jobs?status=failed&type=workspace_build&code=INSUFFICIENT_QUOTA",
    "/ui/workspaces",
    "/ui/templates",
    "/ui/quota",
)
OF_OPERATORS = ("/ui/workers", "/ui/audit", "/ui/webhooks")


@pytest.fixture
def facts(door: Door, alice: User, owner: User) -> dict[str, str]:
    """What there is: a template, and alice's workspace with a build that quota refused."""
    template = door.factory.template(organization=door.organization, created_by=owner, name="dev")
    workspace = door.factory.workspace(owner=alice, template=template, name="box")
    job = door.factory.finished_build(
        workspace,
        status=JobStatus.FAILED,
        error="<b>no</b> quota",
        error_code=JobErrorCode.INSUFFICIENT_QUOTA,
    )
    return {
        "job": str(job.id),
        "workspace": str(workspace.id),
        "template": str(template.id),
        "version": str(template.active_version_id),
    }


def pages_of(facts: dict[str, str]) -> list[str]:
    return [
        f"/ui/jobs/{facts['job']}",
        f"/ui/workspaces/{facts['workspace']}",
        f"/ui/templates/{facts['template']}",
        f"/ui/versions/{facts['version']}",
    ]


def press(browser: Any, path: str, button: str) -> httpx.Response:
    """Press a button of a page."""
    csrf = csrf_in(browser.get(path))
    answer: httpx.Response = browser.post(f"{path}/{button}", data={"csrf": csrf})
    return answer


def test_every_page_is_whole_for_an_owner(sign_in: Any, owner: User, facts: dict[str, str]) -> None:
    browser = sign_in(owner)
    for path in (*EVERY_PAGE, *OF_OPERATORS, *pages_of(facts)):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert "Sign out" in answer.text
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert not re.search(r"<script>|style=|onclick=|https?://", answer.text), path


def test_a_member_sees_own_things_and_no_pages_of_operators(
    sign_in: Any, alice: User, facts: dict[str, str]
) -> None:
    browser = sign_in(alice)
    for path in (*EVERY_PAGE, *pages_of(facts)):
        assert browser.get(path).status_code == 200, path
    for path in OF_OPERATORS:
        assert browser.get(path).status_code == 404, path
        assert path not in browser.get("/ui").text


def test_nobody_sees_what_is_anothers(door: Door, sign_in: Any, facts: dict[str, str]) -> None:
    stranger = sign_in(door.user(name="eve", member_of=door.factory.organization(name="other")))
    for path in pages_of(facts):
        assert stranger.get(path).status_code == 404, path
    assert "alice/box" not in stranger.get("/ui/jobs").text
    assert "alice/box" not in stranger.get("/ui/workspaces").text


def test_what_templates_say_is_text(sign_in: Any, owner: User, facts: dict[str, str]) -> None:
    page = sign_in(owner).get(f"/ui/jobs/{facts['job']}").text
    assert "&lt;b&gt;no&lt;/b&gt; quota" in page
    assert "INSUFFICIENT_QUOTA" in page
    assert "Stop or delete a workspace" in page


def test_a_version_does_not_show_what_is_sensitive(
    door: Door, sign_in: Any, alice: User, owner: User
) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner)
    door.factory.declare(
        template,
        parameters=(
            TemplateParameter(name="key", required=False, default="hush-default", sensitive=True),
        ),
        presets=(TemplatePreset(name="large", parameters={"key": "hush-preset"}),),
    )
    page = sign_in(alice).get(f"/ui/versions/{template.active_version_id}").text
    assert "key=*redacted*" in page
    assert "hush" not in page


def test_a_version_says_that_its_starts_keep_failing(
    door: Door, sign_in: Any, alice: User, owner: User
) -> None:
    template = door.factory.template(organization=door.organization, created_by=owner)
    with door.factory.database.begin() as session:
        version_id = template.active_version_id
        session.add(Circuit(template_version_id=version_id, reason="terraform in plan", failures=3))
    page = sign_in(alice).get(f"/ui/versions/{template.active_version_id}").text
    assert "3 starts in a row failed: terraform in plan." in page
    assert "Automatic starts are refused" not in page


def test_a_failed_build_is_retried_by_a_button(
    sign_in: Any, alice: User, facts: dict[str, str]
) -> None:
    browser = sign_in(alice)
    answer = press(browser, f"/ui/jobs/{facts['job']}", "retry")
    assert answer.status_code == 303
    assert "pending" in browser.get(answer.headers["Location"]).text
    cancel = press(browser, answer.headers["Location"], "cancel")
    assert "canceled" in browser.get(cancel.headers["Location"]).text


def test_a_dry_run_is_canceled_by_a_button(
    door: Door, sign_in: Any, owner: User, facts: dict[str, str]
) -> None:
    with door.factory.database.begin() as session:
        planned = existing_workspace(session, uuid.UUID(facts["workspace"]))
        job_id = enqueue_dry_run(session, planned, ring=lambda _queue: True).job_id
    browser = sign_in(owner)
    press(browser, f"/ui/jobs/{job_id}", "cancel")
    assert door.factory.status(job_id) is JobStatus.CANCELED


def test_a_workspace_is_stopped_by_a_button(
    sign_in: Any, alice: User, facts: dict[str, str]
) -> None:
    browser = sign_in(alice)
    answer = press(browser, f"/ui/workspaces/{facts['workspace']}", "stop")
    assert "stop of" in browser.get(answer.headers["Location"]).text


@pytest.mark.parametrize("csrf", ["", "0" * 64])
def test_a_form_of_another_page_is_refused(
    sign_in: Any, alice: User, facts: dict[str, str], csrf: str
) -> None:
    browser = sign_in(alice)
    answer = browser.post(f"/ui/workspaces/{facts['workspace']}/stop", data={"csrf": csrf})
    assert answer.status_code in {400, 403}
    assert (
        browser.get("/api/v2/workspaces").json()["workspaces"][0]["latest_build"]["build_number"]
        == 1
    )


def test_a_token_that_may_only_read_has_no_buttons(
    sign_in: Any, alice: User, facts: dict[str, str]
) -> None:
    browser = sign_in(alice, TokenScope.READ)
    page = browser.get(f"/ui/workspaces/{facts['workspace']}")
    assert "Stop</button>" not in page.text
    answer = browser.post(f"/ui/workspaces/{facts['workspace']}/stop", data={"csrf": csrf_in(page)})
    assert answer.status_code == 403


def test_a_stranger_is_led_to_the_sign_in_page_and_back(
    door: Door, alice: User, browsers: list[httpx.Client]
) -> None:
    browser = open_http(door.url)
    browsers.append(browser)
    answer = browser.get("/ui/jobs?status=failed")
    assert answer.headers["Location"] == "/signin?next=/ui/jobs%3Fstatus%3Dfailed"
    page = browser.get(answer.headers["Location"])
    assert 'value="/ui/jobs?status=failed"' in page.text
    signed_in = browser.post(
        "/signin", data={"token": door.token(alice), "next": "/ui/jobs?status=failed"}
    )
    assert signed_in.headers["Location"] == "/ui/jobs?status=failed"
    cookie = signed_in.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example", "/\\evil.example", "//["]
)
def test_nobody_is_led_to_another_site(
    door: Door, alice: User, browsers: list[httpx.Client], next_: str
) -> None:
    browser = open_http(door.url)
    browsers.append(browser)
    answer = browser.post("/signin", data={"token": door.token(alice), "next": next_})
    assert answer.headers["Location"] == "/ui"


def test_a_wrong_token_is_one_sentence(door: Door, browsers: list[httpx.Client]) -> None:
    browser = open_http(door.url)
    browsers.append(browser)
    answer = browser.post("/signin", data={"token": "nonsense\u00e9"})
    assert answer.status_code == 401
    assert "This token is not valid" in answer.text
    assert COOKIE not in browser.cookies


def test_signing_out_ends_the_session(sign_in: Any, alice: User) -> None:
    browser = sign_in(alice)
    session = browser.cookies[COOKIE]
    answer = browser.post("/signout", data={"csrf": csrf_in(browser.get("/ui"))})
    assert answer.headers["Location"] == "/signin"
    browser.cookies.set(COOKIE, session)
    assert browser.get("/ui").status_code == 303


@pytest.mark.parametrize(
    "path", ["/ui/jobs/zzz", "/ui/jobs?status=odd", "/ui/jobs?after=x", "/ui/jobs/" + "0" * 32]
)
def test_wrong_addresses_are_pages_with_one_sentence(sign_in: Any, owner: User, path: str) -> None:
    answer = sign_in(owner).get(path)
    assert answer.status_code in {400, 404}
    assert 'role="alert"' in answer.text


def test_styles_and_script_are_served_and_nothing_else(door: Door) -> None:
    http = door.client().http
    assert http.get("/static/style.css").headers["Content-Type"].startswith("text/css")
    assert http.get("/static/live.js").headers["Content-Type"].startswith("text/javascript")
    assert http.get("/static/rendering.py").status_code == 404
    assert http.get("/static/..%2frendering.py").status_code == 404


def test_a_worker_is_drained_and_resumed_by_buttons(door: Door, sign_in: Any, owner: User) -> None:
    worker_id = sign_on(door.factory.database, "build-7")
    browser = sign_in(owner)
    path = f"/ui/workers/{worker_id}"
    csrf = {"csrf": csrf_in(browser.get("/ui/workers"))}
    assert browser.post(f"{path}/drain", data=csrf).status_code == 303
    assert f"{path}/resume" in browser.get("/ui/workers").text
    browser.post(f"{path}/resume", data=csrf)
    assert f"{path}/drain" in browser.get("/ui/workers").text


def test_a_worker_is_drained_by_operators_only(door: Door, sign_in: Any, alice: User) -> None:
    browser = sign_in(alice)
    csrf = {"csrf": csrf_in(browser.get("/ui/workspaces"))}
    answer = browser.post(f"/ui/workers/{uuid.uuid4()}/drain", data=csrf)
    assert answer.status_code == 404


def test_an_admin_of_two_organizations_sees_the_jobs_of_both(
    door: Door, sign_in: Any, owner: User, facts: dict[str, str]
) -> None:
    elsewhere = door.factory.organization(name="elsewhere")
    person = door.factory.user(organization=door.organization)
    other = door.factory.template(organization=elsewhere, created_by=owner, name="theirs")
    job = door.factory.build(door.factory.workspace(owner=owner, template=other, name="far"))
    with door.factory.database.begin() as session:
        for home in (door.organization, elsewhere):
            session.merge(
                OrganizationMember(
                    organization_id=home.id, user_id=person.id, roles=["organization-admin"]
                )
            )
    shown = sign_in(person).get("/ui/jobs").text
    assert facts["job"] in shown
    assert str(job.job_id) in shown


def test_quotas_of_members_come_in_pages(
    door: Door, sign_in: Any, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.pages.administration.PAGE_SIZE", 2)
    for name in ("bea", "cem"):
        door.user(name=name)
    browser = sign_in(owner)
    first, second = (browser.get(f"/ui/quota?offset={offset}").text for offset in (0, 2))
    assert "/ui/workspaces?owner=bea" in first
    assert "/ui/quota?organization=acme&amp;offset=2" in first
    assert "/ui/workspaces?owner=cem" in second
    assert "More members" not in second
