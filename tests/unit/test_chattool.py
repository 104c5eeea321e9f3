"""The tools as agents get them: schemas, formats, arguments and names, without services."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any, cast

import jsonschema
import pytest
from click.testing import CliRunner

import chattool
from chattool import TOOLS, Tool, ToolContext, ToolSettings, WorkspaceBuildError
from chattool.naming import choose_name
from chattool.tools import CreateWorkspaceArguments
from cli.tools import tools
from db.catalog.chats import ChatKey
from db.catalog.names import NAME_PATTERN
from db.engine import Database
from db.errors import InvalidError
from db.schema.enums import JobErrorCode
from worker.settings import load_settings

EVERY_TOOL = pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
CONTEXT = ToolContext(
    # No test here comes so far as to use it.
    database=cast("Database", None),
    chat_id="c",
    owner_id=uuid.uuid4(),
    organization_id=uuid.uuid4(),
)


def recording_tool(calls: list[dict[str, Any]]) -> Tool:
    def run(_context: ToolContext, **arguments: Any) -> dict[str, Any]:
        calls.append(arguments)
        return {}

    return Tool(name="recording", description="", arguments=CreateWorkspaceArguments, run=run)


def test_the_tools_are_those_that_agents_know() -> None:
    assert list(TOOLS)[:2] == ["create_workspace", "start_workspace"]
    assert {"stop_workspace", "delete_workspace", "list_workspaces"} <= set(TOOLS)


@EVERY_TOOL
def test_a_schema_is_one_of_an_object(tool: Tool) -> None:
    jsonschema.Draft202012Validator.check_schema(tool.input_schema)
    assert tool.input_schema["type"] == "object"


@EVERY_TOOL
def test_every_argument_is_described(tool: Tool) -> None:
    assert all(found["description"] for found in tool.input_schema["properties"].values())


def test_creating_needs_a_template_alone() -> None:
    assert TOOLS["create_workspace"].input_schema["required"] == ["template_id"]


def test_starting_needs_no_argument() -> None:
    assert "required" not in TOOLS["start_workspace"].input_schema


@pytest.mark.parametrize(
    "demand",
    ["only when the work needs a workspace", "explicitly asks", "default first step"],
)
def test_the_description_keeps_agents_from_creating_workspaces_needlessly(demand: str) -> None:
    assert demand in TOOLS["create_workspace"].description


def test_a_tool_has_the_form_with_an_input_schema() -> None:
    tool = TOOLS["start_workspace"]
    assert chattool.as_input_schema_tool(tool) == {
        "name": "start_workspace",
        "description": tool.description,
        "input_schema": tool.input_schema,
    }


def test_a_tool_has_the_form_of_a_function() -> None:
    tool = TOOLS["start_workspace"]
    assert chattool.as_function_tool(tool) == {
        "type": "function",
        "function": {
            "name": "start_workspace",
            "description": tool.description,
            "parameters": tool.input_schema,
        },
    }


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        pytest.param({}, "template_id", id="missing"),
        pytest.param({"template_id": 7}, "template_id", id="of another type"),
        pytest.param({"template_id": "t", "size": "2"}, "size", id="unknown"),
        pytest.param({"template_id": "t", "name": ["n"]}, "name", id="name of another type"),
        pytest.param(
            {"template_id": "t", "parameters": {"a": {}}}, "parameters.a", id="nested value"
        ),
        pytest.param({"template_id": "t", "parameters": [1]}, "parameters", id="list"),
    ],
)
def test_arguments_that_do_not_fit_are_answered_with_the_field(
    arguments: dict[str, Any], field: str
) -> None:
    answer = TOOLS["create_workspace"].call(CONTEXT, arguments)
    assert [found["field"] for found in answer["validations"]] == [field]


def test_the_answer_to_unfit_arguments_says_so_in_one_sentence() -> None:
    answer = TOOLS["create_workspace"].call(CONTEXT, {})
    assert answer["error"] == (
        "the arguments of create_workspace are not valid: template_id: Field required"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(2, "2"), (True, "true"), (False, "false"), (1.5, "1.5"), ("x", "x")]
)
def test_numbers_and_truth_values_of_parameters_become_text(value: object, text: str) -> None:
    calls: list[dict[str, Any]] = []
    recording_tool(calls).call(CONTEXT, {"template_id": "t", "parameters": {"a": value}})
    assert calls[0]["parameters"] == {"a": text}


def test_arguments_left_out_or_null_are_none() -> None:
    calls: list[dict[str, Any]] = []
    recording_tool(calls).call(CONTEXT, {"template_id": "t", "parameters": None})
    assert calls == [
        {"template_id": "t", "name": None, "parameters": None, "preset_id": None, "preset": None}
    ]


def test_a_name_that_is_allowed_is_taken_as_it_is() -> None:
    assert choose_name("My-Box", seed="dev") == "My-Box"


@pytest.mark.parametrize(
    ("wanted", "seed", "stem"),
    [
        pytest.param(None, "dev", "dev", id="none"),
        pytest.param("", "Dev", "dev", id="empty"),
        pytest.param("My project!", "dev", "my-project", id="not allowed"),
        pytest.param("x" * 60, "dev", "x" * 27, id="too long"),
        pytest.param("日本", "dev", "workspace", id="nothing left"),
        pytest.param("a" * 26 + " b", "dev", "a" * 26, id="cut at a hyphen"),
    ],
)
def test_a_name_is_made_up_with_four_hex_digits(wanted: str | None, seed: str, stem: str) -> None:
    name = choose_name(wanted, seed=seed)
    made, _, digits = name.rpartition("-")
    assert (made, len(digits)) == (stem, 4)
    assert len(name) <= 32
    assert NAME_PATTERN.fullmatch(name)


def test_a_build_error_has_message_and_code() -> None:
    error = WorkspaceBuildError("it broke", JobErrorCode.INSUFFICIENT_QUOTA)
    assert (error.message, error.code) == ("it broke", "INSUFFICIENT_QUOTA")


def test_a_build_error_without_a_code_has_none_whatever_its_text() -> None:
    assert WorkspaceBuildError("insufficient quota").code is None


@pytest.mark.parametrize("chat", ["", "x" * 201, "a\x00b"], ids=["empty", "long", "null byte"])
def test_a_chat_id_that_cannot_be_stored_is_refused(chat: str) -> None:
    with pytest.raises(InvalidError, match="id of a chat"):
        ChatKey(owner_id=uuid.uuid4(), organization_id=uuid.uuid4(), id=chat)


def test_tools_wait_as_long_as_in_the_system_that_we_follow() -> None:
    assert chattool.tool_settings(load_settings({})) == ToolSettings(
        poll=timedelta(seconds=2), timeout=timedelta(minutes=10)
    )


def test_how_long_tools_wait_is_set_by_the_environment() -> None:
    given = {
        "PROVISIONERD_TOOL_POLL_SECONDS": "0.5",
        "PROVISIONERD_TOOL_TIMEOUT_SECONDS": "60",
        "PROVISIONERD_TOOL_QUOTA_TIMEOUT_SECONDS": "1",
    }
    assert chattool.tool_settings(load_settings(given)) == ToolSettings(
        poll=timedelta(milliseconds=500),
        timeout=timedelta(minutes=1),
        quota_timeout=timedelta(seconds=1),
    )


def test_the_shell_lists_the_tools_as_json() -> None:
    result = CliRunner().invoke(tools, ["list"])
    assert json.loads(result.stdout) == [
        chattool.as_input_schema_tool(tool) for tool in TOOLS.values()
    ]


def test_the_shell_lists_the_tools_as_functions() -> None:
    result = CliRunner().invoke(tools, ["list", "--format", "function"])
    assert json.loads(result.stdout) == [chattool.as_function_tool(tool) for tool in TOOLS.values()]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        pytest.param("dig", "{}", "there is no tool 'dig'; the tools are:", id="unknown tool"),
        pytest.param("start_workspace", "{", "--json is not valid JSON", id="no JSON"),
        pytest.param("start_workspace", "[]", "--json must be a JSON object", id="no object"),
    ],
)
def test_the_shell_refuses_in_one_sentence(name: str, arguments: str, message: str) -> None:
    result = CliRunner().invoke(
        tools, ["call", name, "--json", arguments, "--chat", "c", "--owner", "alice"]
    )
    assert result.exit_code == 1
    assert message in result.stderr
