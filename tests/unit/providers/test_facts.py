"""What the stand-in of ``coder/coder`` tells about workspace, owner, task and secrets."""

from __future__ import annotations

import pytest

from tests.providers.coder import access
from tests.providers.coder.secrets import EXTERNAL_AUTH, SECRET
from tests.providers.coder.tasks import TASK
from tests.providers.coder.workspace import OWNER, WORKSPACE
from tests.providers.findings import Findings
from tests.unit.providers.reading import read, refusal, summaries

TASK_ID = "3f0a2e5e-5a55-4d0c-9d2e-0c3a4f2b7d11"


@pytest.mark.parametrize(("transition", "count"), [("start", 1), ("stop", 0), ("destroy", 0)])
def test_only_a_start_counts(monkeypatch: pytest.MonkeyPatch, transition: str, count: int) -> None:
    monkeypatch.setenv("CODER_WORKSPACE_TRANSITION", transition)
    assert read(WORKSPACE)["start_count"] == count


def test_a_workspace_has_a_new_id_at_each_read_without_a_build() -> None:
    assert read(WORKSPACE)["id"] != read(WORKSPACE)["id"]


def test_a_claim_wins_over_a_prebuild(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_WORKSPACE_IS_PREBUILD", "TRUE")
    monkeypatch.setenv("CODER_WORKSPACE_IS_PREBUILD_CLAIM", "true")
    values = read(WORKSPACE)
    found = [values[name] for name in ("is_prebuild", "is_prebuild_claim", "prebuild_count")]
    assert found == [False, True, 0]


@pytest.mark.parametrize(
    ("url", "port"), [("https://a.example", 443), ("http://a.example", 80), ("http://a:81", 81)]
)
def test_the_port_is_that_of_the_url(url: str, port: int) -> None:
    access.configure(Findings(), {"url": url})
    values = read(WORKSPACE)
    assert (values["access_url"], values["access_port"]) == (url, port)


def test_an_empty_url_is_refused() -> None:
    findings = Findings()
    access.configure(findings, {"url": ""})
    assert findings.summaries == ['CODER_AGENT_URL must not be empty; got ""']


def test_a_build_needs_the_template_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_WORKSPACE_BUILD_ID", "b")
    monkeypatch.setenv("CODER_WORKSPACE_TEMPLATE_ID", "t")
    assert refusal(WORKSPACE)[0] == (
        "template name is missing: CODER_WORKSPACE_TEMPLATE_NAME is required"
    )


def test_an_owner_without_facts_is_the_default_one() -> None:
    values = read(OWNER)
    found = [values[name] for name in ("name", "email", "groups", "rbac_roles", "login_type")]
    assert found == ["default", "default@example.com", [], [], None]


def test_an_owner_s_groups_and_roles_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_WORKSPACE_OWNER_GROUPS", '["Everyone"]')
    monkeypatch.setenv("CODER_WORKSPACE_OWNER_RBAC_ROLES", '[{"name": "owner"}]')
    values = read(OWNER)
    assert values["groups"] == ["Everyone"]
    assert values["rbac_roles"] == [{"name": "owner", "org_id": ""}]


def test_an_empty_list_of_groups_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_WORKSPACE_OWNER_GROUPS", "")
    assert refusal(OWNER)[0].startswith("invalid user groups: ")


def test_a_token_of_another_service_is_found_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_EXTERNAL_AUTH_ACCESS_TOKEN_github", "secret")
    assert read(EXTERNAL_AUTH, id="github")["access_token"] == "secret"
    assert not read(EXTERNAL_AUTH, id="gitlab")["access_token"]


@pytest.mark.parametrize("task", ["", "00000000-0000-0000-0000-000000000000"])
def test_without_a_task_there_is_none(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setenv("CODER_TASK_ID", task)
    assert read(TASK)["enabled"] is False


def test_a_task_is_told_with_its_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_TASK_ID", TASK_ID)
    monkeypatch.setenv("CODER_TASK_PROMPT", "mend it")
    assert read(TASK) == {"id": TASK_ID, "enabled": True, "prompt": "mend it"}


def test_a_secret_is_in_a_variable_or_in_a_file_not_in_both() -> None:
    expected = ["exactly one of `env` or `file` must be set"]
    assert summaries(SECRET, help_message="h", env="A", file="/a") == expected
    assert summaries(SECRET, help_message="h") == expected


def test_a_secret_of_a_file_is_named_by_its_path_in_hex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_SECRET_FILE_7e2f61", "s")
    values = read(SECRET, help_message="h", file="~/a")
    assert (values["id"], values["value"]) == ("file:~/a", "s")


def test_a_missing_secret_stops_the_start_of_a_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not read(SECRET, help_message="h", env="A")["value"]
    monkeypatch.setenv("CODER_WORKSPACE_BUILD_ID", "b")
    monkeypatch.setenv("CODER_WORKSPACE_TRANSITION", "start")
    found = refusal(SECRET, help_message="h", env="A")
    assert found[0] == 'Missing required secret: environment variable "A"'
