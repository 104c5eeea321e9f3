"""Contexts: what is stored, and which variables a command gets from one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.contexts import CONFIG, CONTEXT, FIELDS, use_current
from cli.main import cli

Run = Callable[..., Result]


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of an environment without other variables."""
    for name in [CONTEXT, *(f"PROVISIONERD_{each.upper()}" for each in FIELDS)]:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    made = tmp_path / "config" / "config.toml"
    monkeypatch.setenv(CONFIG, str(made))
    return made


@pytest.fixture
def run(file: Path) -> Run:
    assert not file.exists()
    return lambda *arguments: CliRunner().invoke(cli, ["context", *arguments])


def variables() -> dict[str, str | None]:
    use_current()
    return {each: os.environ.get(f"PROVISIONERD_{each.upper()}") for each in FIELDS}


def test_the_first_context_is_the_current_one(run: Run) -> None:
    run("set", "staging", "owner=alice")
    run("set", "production", "owner=bob")

    assert variables()["owner"] == "alice"


def test_another_context_is_used(run: Run) -> None:
    run("set", "staging", "owner=alice")
    run("set", "production", "owner=bob")

    assert run("use", "production").exit_code == 0
    assert variables()["owner"] == "bob"


def test_a_context_is_named_by_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("set", "staging", "owner=alice")
    run("set", "production", "owner=bob")
    monkeypatch.setenv(CONTEXT, "production")

    assert variables()["owner"] == "bob"


def test_the_environment_takes_precedence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("set", "staging", "owner=alice", "organization=research")
    monkeypatch.setenv("PROVISIONERD_OWNER", "carol")

    found = variables()

    assert (found["owner"], found["organization"]) == ("carol", "research")


def test_an_environment_with_a_server_takes_no_other_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("set", "staging", "database_url=postgresql://staging/db", "redis_url=redis://r", "owner=a")
    monkeypatch.setenv("PROVISIONERD_DATA_DIR", "/srv")

    found = variables()

    assert (found["database_url"], found["redis_url"], found["owner"]) == (None, None, "a")


@pytest.mark.parametrize("server", ["database_url", "url", "data_dir"])
def test_the_token_of_a_context_is_never_sent_to_another_server(
    run: Run, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    run("set", "staging", "url=https://staging", "token=id-secret", "token_file=/t")
    monkeypatch.setenv(f"PROVISIONERD_{server.upper()}", "https://elsewhere")

    found = variables()

    assert (found["token"], found["token_file"]) == (None, None)


def test_a_token_of_the_environment_takes_the_place_of_that_of_the_context(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("set", "staging", "url=https://staging", "token_file=/run/token")
    monkeypatch.setenv("PROVISIONERD_TOKEN", "id-mine")

    found = variables()

    assert (found["url"], found["token"], found["token_file"]) == (
        "https://staging",
        "id-mine",
        None,
    )


def test_a_command_that_needs_the_database_says_so_where_only_a_url_is_known(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not file.exists()
    monkeypatch.setenv("PROVISIONERD_URL", "https://staging")

    result = CliRunner().invoke(cli, ["migrate"])

    assert result.exit_code == 1
    assert "does not go over the API: set PROVISIONERD_DATABASE_URL, too" in result.stderr


def test_nothing_is_used_without_a_file(file: Path) -> None:
    assert not file.exists()
    assert set(variables().values()) == {None}


def test_the_file_is_readable_only_by_its_owner(run: Run, file: Path) -> None:
    run("set", "staging", "database_url=postgresql://u:secret@h/db")

    assert file.stat().st_mode & 0o777 == 0o600


def test_secrets_are_not_shown(run: Run) -> None:
    run("set", "staging", "database_url=postgresql://u:secret@h/db", "redis_url=redis://:hidden@h")
    run("set", "staging", "token=id-secret")

    shown = [run("show").output, run("list", "-o", "json").output, run("list").output]

    assert "staging" in shown[2]
    assert not any("secret" in text or "hidden" in text for text in shown)


def test_the_list_marks_the_current_context(run: Run) -> None:
    run("set", "staging", "owner=alice")
    run("set", "production", "owner=bob")

    rows = json.loads(run("list", "--output", "json").stdout)

    assert [(row["name"], row["is_current"]) for row in rows] == [
        ("production", False),
        ("staging", True),
    ]


def test_an_empty_value_removes_a_field(run: Run) -> None:
    run("set", "staging", "owner=alice", "organization=research")
    run("set", "staging", "organization=")

    assert json.loads(run("show", "-o", "json").stdout) == {
        "name": "staging",
        "is_current": True,
        "owner": "alice",
    }


def test_a_context_that_is_deleted_is_not_used(run: Run) -> None:
    run("set", "staging", "owner=alice")

    assert run("delete", "staging", "--yes").exit_code == 0
    assert variables()["owner"] is None


def test_a_person_is_asked_before_a_context_is_deleted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("set", "staging", "owner=alice")
    monkeypatch.setattr("cli.confirming.is_asked_by_a_person", lambda: True)

    assert run("delete", "staging").exit_code == 1
    assert variables()["owner"] == "alice"


@pytest.mark.parametrize("value", ['a"b\\c', "é箱", "\N{PILE OF POO}"])
def test_any_printable_value_survives_the_file(run: Run, value: str) -> None:
    run("set", "staging", f"owner={value}")

    assert variables()["owner"] == value


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["use", "nowhere"], "there is no context 'nowhere'", id="use"),
        pytest.param(["show"], "there is no context;", id="show without any"),
        pytest.param(["show", "nowhere"], "there is no context 'nowhere'", id="show"),
        pytest.param(["delete", "nowhere"], "there is no context 'nowhere'", id="delete"),
        pytest.param(["set", "a b", "owner=x"], "is not a name of a context", id="name"),
        pytest.param(["set", "a", "colour=x"], "a context has no 'colour'", id="field"),
        pytest.param(["set", "a", "owner=x\ny"], "not printable", id="value"),
    ],
)
def test_a_wrong_command_changes_nothing(
    run: Run, file: Path, arguments: list[str], sentence: str
) -> None:
    result = run(*arguments)

    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [b"current = ", b"\xff", b"current = 1", b"[contexts]\na = 1", b"[contexts.a]\nowner = 1"],
)
def test_a_broken_file_is_said_in_one_sentence(run: Run, file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)

    result = CliRunner().invoke(cli, ["jobs", "list"])

    assert result.exit_code == 1
    assert f"Error: {file} cannot be read" in result.stderr
