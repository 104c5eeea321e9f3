"""The resources of the stand-in of ``coder/coder``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.coder import access
from tests.providers.coder.agent import AGENT, RUNNING_TOKEN
from tests.providers.coder.attachments import APP, DEVCONTAINER, ENV, SCRIPT
from tests.providers.coder.metadata import METADATA
from tests.providers.coder.tasks import AI_TASK
from tests.providers.findings import Findings
from tests.unit.providers.reading import created, summaries

LINUX = {"os": "linux", "arch": "amd64"}
BOX = {"agent_id": "a", "slug": "box"}
JOB = {"agent_id": "a", "display_name": "d", "script": "s"}
APP_ID = "3f0a2e5e-5a55-4d0c-9d2e-0c3a4f2b7d11"


def new(*arguments: Any, **given: Any) -> dict[str, Any]:
    values, found = created(*arguments, **given)
    assert values is not None, found
    return values


def test_an_agent_has_the_standard_apps_unless_it_says_otherwise() -> None:
    assert new(AGENT, **LINUX)["display_apps"] == [
        {
            "vscode": True,
            "vscode_insiders": False,
            "web_terminal": True,
            "port_forwarding_helper": True,
            "ssh_helper": True,
        }
    ]


def test_a_block_of_apps_is_completed() -> None:
    (apps,) = new(AGENT, **LINUX, display_apps=[{"vscode": False}])["display_apps"]
    assert (apps["vscode"], apps["ssh_helper"]) == (False, True)


def test_a_claimed_agent_keeps_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUNNING_TOKEN, "kept")
    assert RUNNING_TOKEN.endswith(
        "_e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert new(AGENT, **LINUX)["token"] == "kept"


def test_an_agent_without_a_script_for_its_machine_has_an_empty_one() -> None:
    assert not new(AGENT, os="windows", arch="armv7")["init_script"]


def test_a_script_gets_the_url_without_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    access.configure(Findings(), {"url": "https://a.example/x"})
    monkeypatch.setenv("CODER_AGENT_SCRIPT_linux_amd64", "${ACCESS_URL} ${AUTH_TYPE} ${HOME}")
    script = new(AGENT, **LINUX, auth="aws-instance-identity")["init_script"]
    assert script == "https://a.example/ aws-instance-identity ${HOME}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"metadata": [{"key": "k", "script": "s", "interval": 1}] * 2},
            'duplicate agent metadata key "k"',
        ),
        (
            {"resources_monitoring": [{"memory": [], "volume": []}]},
            "resources_monitoring must define at least one monitor",
        ),
        (
            {
                "resources_monitoring": [
                    {"volume": [{"path": "/x", "enabled": True, "threshold": 1}] * 2}
                ]
            },
            'duplicate volume path "/x"',
        ),
    ],
)
def test_what_an_agent_has_twice_is_found_while_planning(
    given: dict[str, Any], expected: str
) -> None:
    assert created(AGENT, **LINUX, **given)[1] == [expected]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"connection_timeout": -1}, "expected connection_timeout to be at least (0), got -1"),
        (
            {"resources_monitoring": [{"memory": [{"enabled": True, "threshold": 101}]}]},
            (
                "expected resources_monitoring.0.memory.0.threshold"
                " to be in the range (0 - 100), got 101"
            ),
        ),
        (
            {
                "resources_monitoring": [
                    {"volume": [{"path": "x", "enabled": True, "threshold": 1}]}
                ]
            },
            "volume path must be an absolute path",
        ),
    ],
)
def test_an_agent_out_of_bounds_is_refused(given: dict[str, Any], expected: str) -> None:
    assert summaries(AGENT, **LINUX, **given) == [expected]


@pytest.mark.parametrize("directory", ["", "$HOME", "~"])
def test_the_home_directory_needs_no_warning(directory: str) -> None:
    assert summaries(AGENT, **LINUX, dir=directory) == []


def test_another_directory_is_warned_of() -> None:
    assert len(summaries(AGENT, **LINUX, dir="/work")) == 2


def test_an_app_has_its_defaults() -> None:
    values = new(APP, **BOX)
    found = [values[name] for name in ("external", "hidden", "share", "open_in", "subdomain")]
    assert found == [False, False, "owner", "slim-window", None]


@pytest.mark.parametrize("slug", ["Box", "a--b", "-a", "a_b", ""])
def test_a_slug_is_a_host_name(slug: str) -> None:
    (found,) = summaries(APP, agent_id="a", slug=slug)
    assert found.startswith('invalid "coder_app" slug, must be a valid hostname')


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"share": "all"},
            'invalid app share "all", must be one of "owner", "authenticated", "public"',
        ),
        (
            {"open_in": "window"},
            'invalid "coder_app" open_in value, must be one of "tab", "slim-window": "window"',
        ),
        ({"display_name": "x" * 65}, "display name is too long (max 64 characters)"),
        ({"group": "x" * 65}, "group name is too long (max 64 characters)"),
        ({"tooltip": "x" * 2049}, "tooltip is too long (max 2048 characters)"),
        ({"command": "c", "url": "u"}, "Conflicting configuration arguments"),
        ({"external": False, "share": "owner"}, "Conflicting configuration arguments"),
    ],
)
def test_a_wrong_app_is_refused(given: dict[str, Any], expected: str) -> None:
    assert expected in summaries(APP, **BOX, **given)


def test_a_hidden_app_with_an_icon_is_warned_of() -> None:
    assert created(APP, **BOX, hidden=True, icon="/i.svg")[1] == ["`icon` set when app is hidden"]


def test_a_script_must_run_at_some_time() -> None:
    assert created(SCRIPT, **JOB) == (
        None,
        ['at least one of "run_on_start", "run_on_stop", or "cron" must be set'],
    )


def test_a_script_that_does_not_run_on_start_cannot_block_the_login() -> None:
    found = created(SCRIPT, **JOB, run_on_stop=True, start_blocks_login=True)
    assert found[1] == ['"start_blocks_login" can only be set if "run_on_start" is "true"']


@pytest.mark.parametrize("cron", ["0 0 8 * * MON-FRI", "@daily", "@every 1h30m"])
def test_a_script_s_cron_has_seconds_first(cron: str) -> None:
    assert summaries(SCRIPT, **JOB, cron=cron) == []


def test_a_cron_of_five_fields_is_warned_of() -> None:
    assert summaries(SCRIPT, **JOB, cron="0 8 1 * *") == ["The cron expression has five fields"]


def test_a_cron_that_is_none_is_refused() -> None:
    (found,) = summaries(SCRIPT, **JOB, cron="tomorrow")
    assert found.startswith("tomorrow is not a valid cron expression: ")


def test_a_variable_has_the_name_of_one() -> None:
    assert summaries(ENV, agent_id="a", name="1A") == [
        "invalid value for name (must be a valid environment variable name)"
    ]


def test_a_devcontainer_has_an_agent_of_its_own() -> None:
    assert len(new(DEVCONTAINER, agent_id="a", workspace_folder="/w")["subagent_id"]) == 36


def test_an_item_without_a_value_is_null() -> None:
    (item,) = new(METADATA, resource_id="r", item=[{"key": "k"}])["item"]
    assert item == {"key": "k", "value": "", "sensitive": False, "is_null": True}


def test_an_item_s_key_is_unique() -> None:
    assert created(METADATA, resource_id="r", item=[{"key": "k"}] * 2)[1] == [
        'duplicate resource metadata key "k"'
    ]


def test_a_task_needs_an_app() -> None:
    assert created(AI_TASK) == (None, ["'app_id' must be set"])


def test_a_task_takes_the_app_of_its_sidebar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_TASK_ID", APP_ID)
    values = new(AI_TASK, sidebar_app=[{"id": APP_ID}])
    assert (values["app_id"], values["id"], values["enabled"]) == (APP_ID, APP_ID, True)
