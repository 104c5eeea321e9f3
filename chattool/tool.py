"""One tool: name, description, JSON schemas, and a call that returns JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chattool.answers import Answer
from chattool.context import OwnerContext


def _as_text(value: object) -> object:
    """Return numbers, booleans and lists as text: models write them where text is expected."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, int | float) else value


ParameterValue = Annotated[str, BeforeValidator(_as_text)]


class Arguments(BaseModel):
    """The arguments of a tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WaitingArguments(Arguments):
    """The arguments of a tool that waits for a build."""

    wait_seconds: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = Field(
        45,
        description="How long to wait, in seconds. If the build takes longer, the answer has the"
        " status running, and says what to call next.",
    )


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool, independent of any SDK."""

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[..., Answer]
    title: str = ""
    answer: type[BaseModel] | None = None  #: the shape of its answers; None: not described
    is_read_only: bool = False
    makes_jobs: bool = False  #: needs a token that may build, even if it changes nothing
    is_destructive: bool = False  #: what it ends cannot be brought back by another tool

    @property
    def is_for_readers(self) -> bool:
        """Whether a token that may only read is enough."""
        return self.is_read_only and not self.makes_jobs

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        schema = self.arguments.model_json_schema()
        # pydantic's titles and the class's docstring are of no use to a model.
        return {key: value for key, value in schema.items() if key not in {"title", "description"}}

    def call(self, context: OwnerContext, arguments: Mapping[str, Any]) -> Answer:
        """Run the tool and return its answer, always JSON.

        Arguments that do not match the schema give an answer too: ``error``, with an entry in
        ``validations`` for each field.
        """
        try:
            given = self.arguments.model_validate(arguments)
        except ValidationError as error:
            return _invalid(self.name, error)
        values = dict(given)
        if isinstance(given, WaitingArguments):
            limit = timedelta(seconds=values.pop("wait_seconds"))
            context = replace(context, settings=replace(context.settings, timeout=limit))
        return self.run(context, **values)


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
