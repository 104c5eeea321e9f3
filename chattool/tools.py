"""The tools as agents see them: a name, a description, a JSON schema, a call that returns JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chattool.answers import Answer
from chattool.context import ToolContext
from chattool.create import create_workspace
from chattool.start import start_workspace


def _as_text(value: object) -> object:
    """Accept the numbers and booleans that models write where a string is expected."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


ParameterValue = Annotated[str, BeforeValidator(_as_text)]


class CreateWorkspaceArguments(BaseModel):
    """What ``create_workspace`` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template_id: str = Field(
        description="The template to create the workspace from: its id (a UUID), or its name."
    )
    name: str | None = Field(
        None,
        description="A name for the workspace: letters, digits and single hyphens, at most 32"
        " characters. Left out, a name is made up.",
    )
    parameters: dict[str, ParameterValue] | None = Field(
        None, description="Values of the template's parameters, by name."
    )


class StartWorkspaceArguments(BaseModel):
    """What ``start_workspace`` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: dict[str, ParameterValue] | None = Field(
        None,
        description="Values of the template's parameters that are to change, by name. The others"
        " stay as they were.",
    )


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
        # pydantic's titles and the class's docstring tell a model nothing.
        return {key: value for key, value in schema.items() if key not in {"title", "description"}}

    def call(self, context: ToolContext, arguments: Mapping[str, Any]) -> Answer:
        """Run the tool and return its answer, which is JSON in every case.

        Arguments that do not fit the schema are answered as well: ``error``, with a
        ``validations`` entry per field.
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
                " one workspace: when it has one already, that one is returned and nothing is"
                " created. When the answer has an error_code of INSUFFICIENT_QUOTA, tell the user"
                " what its message says and do not try again until the user has made room."
            ),
            arguments=CreateWorkspaceArguments,
            run=create_workspace,
        ),
        Tool(
            name="start_workspace",
            description=(
                "Start this chat's workspace when it is stopped or its last build failed, and"
                " wait until it runs, which can take several minutes. It does nothing when the"
                " workspace runs already. Use create_workspace first when the chat has no"
                " workspace. When the answer has an error_code of INSUFFICIENT_QUOTA, tell the"
                " user what its message says and do not try again until the user has made room."
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
