"""Which parameters are completed with names, and what happens if none can be found."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psutil
import pytest

import cli.suggestions
from cli.contexts import CONFIG, CONTEXT, FIELDS
from cli.outline import FILE
from cli.suggestions import suggested
from cli.vocabulary import ARGUMENTS, OF_COMMANDS, OPTIONS
from tests.harness.waiting import DEADLINE_S

Suggested = Callable[..., list[str]]
# Arguments whose words name nothing that is stored.
FREE = {
    "context set values",
    "group create name",
    "group set-allowance credits_per_day",
    "limits set allowed",
    "organization create name",
    "tools call name",
    "user create name",
    "user set-roles roles",
    "webhook create url",
    "workspace create name",
    "workspace rename new",
}


def outline() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Suggested:
    """Returns what is offered with only these variables."""
    for name in [CONTEXT, *(f"PROVISIONERD_{each.upper()}" for each in FIELDS)]:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv(CONFIG, str(tmp_path / "config.toml"))
    monkeypatch.setenv("PROVISIONERD_DATA_DIR", str(tmp_path / "data"))

    def offered(kind: str, start: str = "", **settings: str) -> list[str]:
        for name, value in settings.items():
            monkeypatch.setenv(f"PROVISIONERD_{name.upper()}", value)
        context = click.Context(click.Command("provisionerd"))
        return [item.value for item in suggested(kind, context, start)]

    return offered


def test_every_argument_is_completed_or_known_to_be_free() -> None:
    silent = {
        f"{path} {parameter['names'][0]}"
        for path, entry in outline().items()
        for parameter in entry["params"]
        if not parameter["names"][0].startswith("-")
        and not parameter.keys() & {"named", "choices", "is_path"}
    }
    assert silent == FREE


def test_the_vocabulary_names_only_parameters_that_exist() -> None:
    named = {parameter for given in OF_COMMANDS.values() for parameter in given}
    existing = {
        name
        for entry in outline().values()
        for parameter in entry["params"]
        for name in parameter["names"]
    }
    assert {*OPTIONS, *ARGUMENTS, *named} - {"--context"} <= existing


def test_contexts_are_read_from_the_file(offered: Suggested, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[contexts.staging]\n[contexts.production]\n")
    assert offered("contexts", "st") == ["staging"]


def test_without_a_running_server_nothing_is_offered_and_none_is_started(
    offered: Suggested, tmp_path: Path
) -> None:
    assert offered("users") == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"database_url": "postgresql://nobody@127.0.0.1:1/x"}, id="no server"),
        pytest.param({"database_url": "mysql://nobody@127.0.0.1/x"}, id="no PostgreSQL"),
        pytest.param({"url": "http://127.0.0.1:1", "token": "x"}, id="no API"),
        pytest.param({"url": "http://127.0.0.1:1"}, id="no token"),
        pytest.param({"context": "missing"}, id="no such context"),
    ],
)
def test_a_failure_offers_nothing(
    offered: Suggested, capfd: pytest.CaptureFixture[str], settings: dict[str, str]
) -> None:
    assert offered("users", **settings) == []
    assert capfd.readouterr() == ("", "")


def test_a_server_that_does_not_answer_in_time_is_given_up(
    offered: Suggested, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.suggestions, "TIME_S", 0.05)
    before = psutil.Process().children()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert offered("users", database_url=f"postgresql://x@127.0.0.1:{port}/x") == []
    assert psutil.Process().children() == before


def test_a_shell_gets_the_names(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[contexts.staging]\n[contexts.production]\n")
    run = f'{sys.executable} -c "from cli.main import main; main()"'
    script = f"""
provisionerd() {{ {run} "$@"; }}
eval "$(provisionerd completion bash)"
COMP_WORDS=(provisionerd context use st) COMP_CWORD=3
env() {{ command env "${{@:1:$#-1}}" {run}; }}
_provisionerd_completion provisionerd
echo "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, CONFIG: str(config)},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    assert (ran.stdout, ran.stderr) == ("staging\n", "")
