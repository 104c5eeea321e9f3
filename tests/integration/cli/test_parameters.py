"""Values of parameters from the command line: how they are given, refused and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import Database
from db.jobs.declarations import TemplateParameter, TemplatePreset
from db.schema.tables import Workspace, WorkspaceBuildParameter
from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine, refused

CREATE = ("workspace", "create", "box", "--template", "dev", "--owner", "alice", "--detach")
SHOW = ("workspace", "show", "box", "--owner", "alice")
PARAMETERS = (
    TemplateParameter(name="region", required=True, mutable=False, order=1),
    TemplateParameter(name="size", required=False, default="2", type="number", order=2),
    TemplateParameter(name="tools", required=False, default="[]", type="list(string)", order=3),
    TemplateParameter(
        name="wipe", required=False, default="false", type="bool", ephemeral=True, order=4
    ),
)
DEFAULTS = {"region": "eu", "size": "2", "tools": "[]", "wipe": "false"}


@pytest.fixture(autouse=True)
def template(factory: Factory) -> None:
    """The template "dev" of the default organization, of which alice is a member."""
    home = factory.organization(name="default")
    alice = factory.user(organization=home, username="alice")
    made = factory.template(organization=home, created_by=alice, name="dev")
    presets = (TemplatePreset(name="large", parameters={"region": "us", "size": "8"}),)
    factory.declare(made, parameters=PARAMETERS, presets=presets)


def stored(database: Database) -> dict[str, str]:
    with database.begin() as session:
        return {row.name: row.value for row in session.scalars(select(WorkspaceBuildParameter))}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "values.json"


def test_values_are_given_one_by_one(run: CommandLine, database: Database) -> None:
    assert run(*CREATE, "--param", "region=eu", "--param", "size=3").exit_code == 0
    assert stored(database) == {**DEFAULTS, "size": "3"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("values.json", '{"region": "eu", "size": 3, "tools": ["a"], "wipe": true}'),
        ("values.toml", 'region = "eu"\nsize = 3\ntools = ["a"]\nwipe = true\n'),
    ],
)
def test_values_are_read_from_a_file_with_their_types(
    run: CommandLine, database: Database, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    assert run(*CREATE, "--param-file", str(tmp_path / name)).exit_code == 0
    assert stored(database) == {"region": "eu", "size": "3", "tools": '["a"]', "wipe": "true"}


def test_a_value_of_the_command_line_replaces_that_of_the_file(
    run: CommandLine, database: Database, file: Path
) -> None:
    file.write_text('{"region": "us", "size": 3}')
    run(*CREATE, "--param-file", str(file), "--param", "region=eu")
    assert stored(database) == {**DEFAULTS, "size": "3"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read: Expecting property name"),
        ("[" * 100_000, "cannot be read: maximum recursion depth"),
        ("[]", "must hold an object"),
        ('{"a": {}}', "the value of 'a' must be a text, a number, a boolean or a list of texts"),
        ('{"a": null}', "the value of 'a' must be a text, a number, a boolean or a list of texts"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    run: CommandLine, file: Path, content: str, words: str
) -> None:
    file.write_text(content)
    refused(run(*CREATE, "--param-file", str(file)), words)


def test_a_file_that_is_missing_is_refused(run: CommandLine, file: Path) -> None:
    refused(run(*CREATE, "--param-file", str(file)), "cannot be read: No such file or directory")


def test_a_value_is_read_from_a_file(run: CommandLine, database: Database, file: Path) -> None:
    file.write_text("eu\n")
    assert run(*CREATE, "--param", f"region=@{file}").exit_code == 0
    assert stored(database) == DEFAULTS


def test_a_value_is_read_from_standard_input(run: CommandLine, database: Database) -> None:
    assert run.piped(b"eu\n", *CREATE, "--param", "region=@-").exit_code == 0
    assert stored(database) == DEFAULTS


@pytest.mark.parametrize("second", [("--param", "size=@-"), ("--param-file", "-")])
def test_standard_input_is_not_read_twice(
    run: CommandLine, database: Database, second: tuple[str, str]
) -> None:
    found = run.piped(b"eu\n", *CREATE, "--param", "region=@-", *second)
    assert (found.exit_code, stored(database)) == (2, {})
    assert "standard input can be read once" in found.stderr


def test_values_are_read_from_standard_input(run: CommandLine, database: Database) -> None:
    assert run.piped(b'{"region": "eu", "size": 3}', *CREATE, "--param-file", "-").exit_code == 0
    assert stored(database) == {**DEFAULTS, "size": "3"}


def test_a_value_that_begins_with_the_sign_of_a_file_is_doubled(
    run: CommandLine, database: Database
) -> None:
    found = run(*CREATE, "--param", "region=@missing")
    assert (found.exit_code, "write @@ for a value" in found.stderr) == (2, True)
    run(*CREATE, "--param", "region=eu", "--param", 'tools=["@@a"]')
    assert stored(database)["tools"] == '["@@a"]'


def test_a_preset_gives_its_values(run: CommandLine, database: Database) -> None:
    assert run(*CREATE, "--preset", "large").exit_code == 0
    assert stored(database) == {**DEFAULTS, "region": "us", "size": "8"}


def test_an_unknown_preset_is_refused(run: CommandLine) -> None:
    refused(run(*CREATE, "--preset", "huge"), "no preset 'huge'; it has 'large'")


def test_a_value_for_one_build_is_given(run: CommandLine, database: Database) -> None:
    run(*CREATE, "--param", "region=eu", "--ephemeral-param", "wipe=true")
    assert stored(database) == {**DEFAULTS, "wipe": "true"}


def test_a_value_for_one_build_of_a_parameter_that_keeps_it_is_refused(
    run: CommandLine, database: Database
) -> None:
    result = run(*CREATE, "--param", "region=eu", "--ephemeral-param", "size=3")
    refused(result, 'the parameter "size" is not ephemeral')
    assert stored(database) == {}


def test_each_wrong_value_is_a_line(run: CommandLine, database: Database) -> None:
    result = run(*CREATE, "--param", "size=x", "--param", "colour=red")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        (
            'Error: parameter "colour" is not present in the template;'
            ' it has "region", "size", "tools", "wipe"'
        ),
        (
            'Error: Parameter "region" is required but not provided;'
            " choose one with --param region=VALUE"
        ),
        'Error: can\'t validate build parameter "size": "x" is not a number',
    ]


def test_wrong_values_are_listed_as_json(run: CommandLine) -> None:
    result = run(*CREATE, "--output", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "error": 'Unable to validate parameter "region"',
        "error_code": "MISSING_TEMPLATE_PARAMETER",
        "validations": [
            {"field": "region", "detail": 'Parameter "region" is required but not provided'}
        ],
    }


def test_a_refused_workspace_is_not_made(run: CommandLine, database: Database) -> None:
    run(*CREATE)
    with database.begin() as session:
        assert session.scalars(select(Workspace)).all() == []


def test_a_workspace_is_shown_with_its_values(run: CommandLine) -> None:
    run(*CREATE, "--preset", "large")
    shown = run(*SHOW).stdout
    assert "Preset      large" in shown
    assert [line.split() for line in shown.splitlines()[-5:]] == [
        ["PARAMETER", "VALUE", "TYPE", "NEXT", "BUILD"],
        ["region", "us", "string", "must", "stay"],
        ["size", "8", "number", "may", "change"],
        ["tools", "[]", "list(string)", "may", "change"],
        ["wipe", "false", "bool", "its", "default"],
    ]


def test_a_workspace_is_shown_as_json(run: CommandLine) -> None:
    run(*CREATE, "--param", "region=eu")
    shown: dict[str, Any] = run.json(*SHOW)
    assert (shown["name"], shown["version_name"], shown["status"]) == ("box", "v1", "pending")
    assert {row["name"]: row["value"] for row in shown["parameters"]} == DEFAULTS


def test_a_workspace_that_is_not_there_is_not_shown(run: CommandLine) -> None:
    refused(run(*SHOW), "user 'alice' has no workspace 'box'")
