"""The page of settings, from ``worker.settings.Settings``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from worker.broker.secretfile import PREFIX
from worker.settings import Settings

Schema = dict[str, Any]

INTRODUCTION = f"""\
# Settings

Every setting is an environment variable. `make generate` makes this page from `worker/settings.py`
and what it inherits. A name that begins with `{PREFIX}` and is not in this table is refused, so
that a misspelt setting is not ignored silently. The unit of a time is in the name of its setting.

A secret need not be in the environment. `{PREFIX}DATABASE_URL_FILE`, `{PREFIX}REDIS_URL_FILE` and
`{PREFIX}BUILD_HOOK_SECRET_FILE` name a file that has the value, such as a Docker or
Kubernetes secret. Without them, the credentials `database_url`, `redis_url`, `build_hook_secret`
and `encryption_keys` of a systemd unit (`LoadCredential=`) are taken.

Commands also read `{PREFIX}URL` and `{PREFIX}TOKEN` (or `{PREFIX}TOKEN_FILE`), with which they ask
the API of a server instead of the database, `{PREFIX}OWNER`, `{PREFIX}ORGANIZATION`,
`{PREFIX}CONTEXT` and `{PREFIX}CONFIG` ([the command line](cli.md)).

| variable | meaning | default | allowed |
| --- | --- | --- | --- |
"""

BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
}


def page() -> str:
    """Return the page."""
    document = Settings.model_json_schema()
    schemas = {name: document["properties"][name] for name in _names()}
    return INTRODUCTION + "".join(_rows(schemas, document.get("$defs", {})))


def _names() -> Iterator[str]:
    """Yield the settings of the class itself before those that it inherits."""
    for kind in Settings.__mro__:
        annotated = vars(kind).get("__annotations__", {})
        yield from (name for name in annotated if name in Settings.model_fields)


def _rows(properties: dict[str, Schema], definitions: dict[str, Schema]) -> Iterator[str]:
    for name, schema in properties.items():
        kind = _kind(schema, definitions)
        meaning = schema.get("description", "")
        yield f"| `{PREFIX}{name.upper()}` | {meaning} | {_default(schema)} | {kind} |\n"


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default in (None, "", [], {}):
        return ""
    if isinstance(default, list):
        return f"`{','.join(map(str, default))}`"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _kind(schema: Schema, definitions: dict[str, Schema]) -> str:
    """Describe the allowed values in words."""
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _kind(option, definitions)
    if "$ref" in schema:
        return _kind(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'], definitions)}"
    bounds = [words.format(schema[key]) for key, words in BOUNDS.items() if key in schema]
    return ", ".join([_noun(schema), *bounds])


def _noun(schema: Schema) -> str:
    nouns = {
        "boolean": "`true` or `false`",
        "integer": "whole number",
        "object": "KEY=VALUE list",
        "string": "text",
    }
    by_format = {"path": "path", "password": "secret text"}
    return by_format.get(schema.get("format", "")) or nouns.get(schema["type"], "number")
