"""The contract of job rows as JSON schemas, as OpenAPI components and as a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from db.reads.contract import CONTRACT

Schema = dict[str, Any]

INTRODUCTION = """\
# The contract of job rows

The JSON that readers of jobs, builds, logs, timings and quotas get. `make generate` makes this page
from `db/reads/contract.py`. The same contract is in [openapi.json](openapi.json) (OpenAPI 3.1,
components only) and in [types.ts](types.ts).

Names, types and values are those of Coder's API. A field that is not always present is left out of
the JSON when it has no value; no field is ever `null`. Times are RFC 3339 in UTC.

A failure that a program must distinguish from others has an `error_code`. `INSUFFICIENT_QUOTA` only
means that the quota commit refused the build. A cloud provider that says "insufficient quota" is an
ordinary failure without an `error_code`.
"""


class _ContractSchema(GenerateJsonSchema):
    """Describes the JSON that is written: absent fields are left out, so nothing is nullable."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - no field needs one
        return False


def schemas(ref_template: str) -> dict[str, Schema]:
    """Return the JSON schema of each model and enum of the contract, by name."""
    _, document = models_json_schema(
        [(model, "validation") for model in CONTRACT],
        ref_template=ref_template,
        schema_generator=_ContractSchema,
    )
    definitions: dict[str, Schema] = document["$defs"]
    return definitions


def openapi() -> str:
    """Return the OpenAPI document of the components."""
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "provisionerd job rows",
            "version": "1",
            "description": "Components only: the JSON of jobs, builds, logs, timings and quotas.",
        },
        "components": {"schemas": schemas("#/components/schemas/{model}")},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """Return the reference page: the models in order, then the enums by name."""
    found = schemas("{model}")
    models = [model.__name__ for model in CONTRACT]
    enums = sorted(set(found) - set(models))
    parts = [INTRODUCTION]
    parts += ["\n".join(_model(name, found[name])) for name in models]
    parts += ["\n".join(_enum(name, found[name])) for name in enums]
    return "\n".join(parts)


def _model(name: str, schema: Schema) -> Iterator[str]:
    yield from (f"## {name}", "", schema["description"], "")
    yield from ("| field | type | always present | meaning |", "| --- | --- | --- | --- |")
    for field, described in schema["properties"].items():
        always = "yes" if field in schema.get("required", ()) else ""
        yield f"| `{field}` | {_type(described)} | {always} | {described.get('description', '')} |"
    yield ""


def _enum(name: str, schema: Schema) -> Iterator[str]:
    yield from (f"## {name}", "", schema["description"], "")
    yield from (f"- `{value}`" for value in schema["enum"])
    yield ""


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return f"[{schema['$ref']}](#{schema['$ref'].lower()})"
    if schema["type"] == "array":
        is_empty = schema.get("maxItems") == 0
        return "empty list" if is_empty else f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        return f"map of string to {_type(schema['additionalProperties'])}"
    kinds = {"uuid": "UUID", "date-time": "time"}
    return str(kinds.get(schema.get("format", ""), schema["type"]))
