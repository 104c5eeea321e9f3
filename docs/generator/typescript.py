"""TypeScript types of the contract, by ``json-schema-to-typescript``.

The maintained generators of types from JSON schemas are on npm. Those on PyPI either call them or
are abandoned (checked in 2026: pydantic-to-typescript needs Node.js and had no release for two
years; quicktype-ts and py-ts-interfaces are older). So people who change the contract need Node.js,
and nobody else does: ``types.ts`` is committed, and its head has digests of the schema, the locked
generator and its own text. Python checks them without Node.js, so a stale file, or one that was
changed by hand, is found on any machine.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from docs.generator import contract, httpapi

PACKAGE = Path(__file__).resolve().parent.parent / "typescript"
BUILD = PACKAGE.parent.parent / "build" / "typescript"
LOCK = "package-lock.json"
GENERATOR = (
    "node_modules/json-schema-to-typescript/dist/src/cli.js",
    "--additionalProperties=false",
    "--bannerComment=",
    "--maxItems=-1",  # otherwise a bounded list becomes a union of tuples, one for each length
    "--style.printWidth=100",
)
TIMEOUT_S = 300

REFERENCE = "#/$defs/{model}"
JOB_ROWS = "job rows. Made from db/reads/contract.py"
HTTP_API = "the HTTP API. Made from its routes in api/"
HEAD = """\
// TypeScript types of {origin} by `make generate`: do not edit.
// made from: sha256:{source}
// text: sha256:{text}
"""
HEAD_LINES = HEAD.count("\n")


class GeneratorError(Exception):
    """The types cannot be generated. The message says what to do."""


def types() -> str:
    """Generate the types of job rows.

    Raises:
        GeneratorError: Node.js is missing or the generator failed.
    """
    return _file(JOB_ROWS, _schema(contract.schemas(REFERENCE)))


def is_current(file: str) -> bool:
    """Return whether the file was made from this schema by this generator, and not changed."""
    return _is_made_from(file, JOB_ROWS, _schema(contract.schemas(REFERENCE)))


def api_types() -> str:
    """Generate the types of the HTTP API.

    Raises:
        GeneratorError: Node.js is missing or the generator failed.
    """
    definitions = _own_definitions()
    shared = sorted(set(re.findall(r'"tsType": "(\w+)"', json.dumps(definitions))))
    names = "".join(f"  {name},\n" for name in shared)
    imported = f'import type {{\n{names}}} from "./types";\n\n'
    return _file(HTTP_API, _schema(definitions), imported)


def are_api_types_current(file: str) -> bool:
    """Return whether the file was made from the routes; true without the extra ``api``."""
    if not httpapi.is_installed():
        return True
    return _is_made_from(file, HTTP_API, _schema(_own_definitions()))


def _own_definitions() -> dict[str, contract.Schema]:
    """Return the schemas of the HTTP API without those of job rows, which ``types.ts`` has."""
    found, shared = httpapi.schemas(REFERENCE), contract.schemas(REFERENCE)
    return {name: _with_imports(one, shared) for name, one in found.items() if name not in shared}


def _with_imports(value: Any, shared: Collection[str]) -> Any:
    """Return a schema in which a reference to a shared one is the name of its type."""
    if isinstance(value, list):
        return [_with_imports(item, shared) for item in value]
    if not isinstance(value, dict):
        return value
    name = str(value.get("$ref", "")).rpartition("/")[2]
    if name in shared:
        return {**{key: item for key, item in value.items() if key != "$ref"}, "tsType": name}
    return {key: _with_imports(item, shared) for key, item in value.items()}


def _file(origin: str, schema: str, imported: str = "") -> str:
    text = "\n" + imported + _generate(schema)
    return _head(origin, schema, text) + text


def _is_made_from(file: str, origin: str, schema: str) -> bool:
    text = "".join(file.splitlines(keepends=True)[HEAD_LINES:])
    return file == _head(origin, schema, text) + text


def _head(origin: str, schema: str, text: str) -> str:
    return HEAD.format(origin=origin, source=_source_digest(schema), text=_digest(text))


def _schema(definitions: Mapping[str, contract.Schema]) -> str:
    definitions = {name: _without_siblings(schema) for name, schema in definitions.items()}
    models = [{"$ref": f"#/$defs/{name}"} for name in definitions]
    # Not used itself, but it makes the generator write every definition.
    document = {"title": "AnyOfTheContract", "anyOf": models, "$defs": definitions}
    return json.dumps(document, indent=2)


def _without_siblings(schema: contract.Schema) -> contract.Schema:
    # The generator treats a reference with a description as a new type: it would write
    # JobErrorCode a second time, as JobErrorCode1.
    if "properties" not in schema:
        return schema
    properties = {name: _wrapped(field) for name, field in schema["properties"].items()}
    return {**schema, "properties": properties}


def _wrapped(field: contract.Schema) -> contract.Schema:
    if "$ref" not in field:
        return field
    rest = {key: value for key, value in field.items() if key != "$ref"}
    return {"allOf": [{"$ref": field["$ref"]}], **rest}


def _source_digest(schema: str) -> str:
    return _digest(schema + (PACKAGE / LOCK).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _generate(schema: str) -> str:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise GeneratorError("it needs Node.js 20 or newer with npm; install it and repeat")
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", LOCK):
        shutil.copy(PACKAGE / name, BUILD)
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    return _run([node, *GENERATOR], given=schema)


def _run(command: list[str], given: str = "") -> str:
    done = subprocess.run(
        command,
        cwd=BUILD,
        input=given,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise GeneratorError(f"{Path(command[0]).name} {command[1]} failed: {done.stderr.strip()}")
    return done.stdout
