"""The tools that agents call: name, description, JSON schema, and a call that returns JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chattool.answers import Answer
from chattool.context import ToolContext
from chattool.create import create_workspace
from chattool.start import start_workspace


def _as_text(value: object) -> object:
    """Return numbers, booleans and lists as text: models write them where text is expected."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, int | float) else value


ParameterValue = Annotated[str, BeforeValidator(_as_text)]


class CreateWorkspaceArguments(BaseModel):
    """The arguments of ``create_workspace``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template_id: str = Field(
        description="The template to create the workspace from: its ID (a UUID) or its name."
    )
    name: str | None = Field(
        None,
        description="A name for the workspace: letters, digits and single hyphens, at most 32"
        " characters. If left out, a name is generated.",
    )
    parameters: dict[str, ParameterValue] | None = Field(
        None,
        description="Values of the template's parameters, by name. A list is written as JSON.",
    )
    preset_id: str | None = Field(
        None,
        description="The ID (a UUID) of a preset of the template. Its values take precedence over"
        " those in parameters.",
    )
    preset: str | None = Field(None, description="The name of a preset, in place of its ID.")


class StartWorkspaceArguments(BaseModel):
    """The arguments of ``start_workspace``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: dict[str, ParameterValue] | None = Field(
        None,
        description="New values of the template's parameters, by name. The others do not change.",
    )
    preset_id: str | None = Field(
        None,
        description="The ID (a UUID) of a preset of the template. Its values take precedence over"
        " those in parameters.",
    )
    preset: str | None = Field(None, description="The name of a preset, in place of its ID.")


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool, independent of any SDK."""

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[..., Answer]

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        schema = self.arguments.model_json_schema()
        # pydantic's titles and the class's docstring are of no use to a model.
        return {key: value for key, value in schema.items() if key not in {"title", "description"}}

    def call(self, context: ToolContext, arguments: Mapping[str, Any]) -> Answer:
        """Run the tool and return its answer, always JSON.

        Arguments that do not match the schema give an answer too: ``error``, with an entry in
        ``validations`` for each field.
        """
        try:
            given = self.arguments.model_validate(arguments)
        except ValidationError as error:
            return _invalid(self.name, error)
        return self.run(context, **dict(given))


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="create_workspace",
            description=(
                "Create a workspace (a development machine) for this chat and wait until it is"
                " built, which can take several minutes. Use this only when the work needs a"
                " workspace, such as running commands or changing files, or when the user"
                " explicitly asks for one. Do not use this as a default first step. A chat has"
                " one workspace: if it already has one, that one is returned and nothing is"
                " created. If the answer has an error_code of INSUFFICIENT_QUOTA, tell the user"
                " what its message says and do not try again until the user has freed quota. If it"
                " has validations, correct the named parameters and try again."
            ),
            arguments=CreateWorkspaceArguments,
            run=create_workspace,
        ),
        Tool(
            name="start_workspace",
            description=(
                "Start this chat's workspace if it is stopped or its last build failed, and"
                " wait until it runs, which can take several minutes. It does nothing if the"
                " workspace already runs. Use create_workspace first if the chat has no"
                " workspace. If the answer has an error_code of INSUFFICIENT_QUOTA, tell the"
                " user what its message says and do not try again until the user has freed quota."
                " If it has validations, correct the named parameters and try again."
            ),
            arguments=StartWorkspaceArguments,
            run=start_workspace,
        ),
    )
}


def as_input_schema_tool(tool: Tool) -> dict[str, Any]:
    """Return the tool for SDKs that expect ``name``, ``description`` and ``input_schema``."""
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
    }


def as_function_tool(tool: Tool) -> dict[str, Any]:
    """Return the tool for SDKs that expect a function with ``parameters``."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.input_schema,
        },
    }


def _invalid(tool: str, error: ValidationError) -> Answer:
    validations = [
        {"field": ".".join(str(part) for part in item["loc"]), "detail": item["msg"]}
        for item in error.errors(include_url=False, include_input=False)
    ]
    listed = "; ".join(f"{found['field']}: {found['detail']}" for found in validations)
    return {
        "error": f"the arguments of {tool} are not valid: {listed}",
        "validations": validations,
    }
