"""What a Terraform template asks for, read from its files without running anything.

Only ``variable`` and ``data "coder_parameter"`` blocks of the root module matter here; what the
rest means is Terraform's affair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from provisioner.engines.port import Template, TemplateParameter, TemplateVariable
from provisioner.engines.terraform.hcl import TemplateError, read_hcl
from provisioner.host.archive import TemplateFiles

WORKSPACE_VARIABLES = frozenset(
    {
        "workspace_transition",
        "workspace_name",
        "workspace_owner",
        "workspace_id",
        "start_count",
    }
)
"""Variables that the daemon itself gives a value (``TF_VAR_*``): nobody need choose one."""

PARAMETER_PREFIX = "parameter_"
"""``variable "parameter_region"`` is the template's parameter ``region``."""

_OVERRIDE = re.compile(r"(^|_)override\.tf(\.json)?$")

_Block = Mapping[str, Any]


def read_template(files: TemplateFiles) -> Template:
    """Return the variables and parameters of a template's root module, in the files' order.

    Parameters are ``data "coder_parameter"`` blocks and variables named ``parameter_<name>``.
    Something is required when it has no default or a null one. A parameter with ``count`` or
    ``for_each``, or with a name that is computed, is never required: only Terraform knows
    whether it exists and what it is called.

    Raises:
        TemplateError: there are no Terraform files, or one of them is not understood.
    """
    # A template is built many times, and its files are read by a process of its own.
    return _read_template(tuple((name, _text(name, files[name])) for name in _names(files)))


@lru_cache(maxsize=64)
def _read_template(texts: tuple[tuple[str, str], ...]) -> Template:
    read = read_hcl({name: text for name, text in texts if not name.endswith(".json")})
    blocks = [read[name] if name in read else _read_json(name, text) for name, text in texts]
    declared = _merged(_labelled(blocks, "variable"))
    chosen = [name for name in declared if name.removeprefix(PARAMETER_PREFIX) not in {name, ""}]
    parameters = {
        found.name: found
        for found in (
            *(_data_parameter(label, block, texts) for label, block in _parameter_blocks(blocks)),
            *(_variable_parameter(name, declared[name]) for name in chosen),
        )
    }
    return Template(
        variables=tuple(
            _variable(name, block)
            for name, block in declared.items()
            if name not in chosen and name not in WORKSPACE_VARIABLES
        ),
        parameters=tuple(parameters.values()),
    )


def _names(files: TemplateFiles) -> list[str]:
    """Return the files that Terraform would load, overrides last, as Terraform does."""
    found = [
        name
        for name in files
        if "/" not in name and name.endswith((".tf", ".tf.json")) and not name.startswith(".")
    ]
    if not found:
        raise TemplateError("the template has no .tf or .tf.json file in its root")
    return sorted(found, key=lambda name: (_OVERRIDE.search(name) is not None, name))


def _text(name: str, data: memoryview) -> str:
    try:
        return str(data, "utf-8-sig")
    except UnicodeDecodeError:
        raise TemplateError(f"{name} is not UTF-8 text; save it as UTF-8") from None


def _read_json(name: str, text: str) -> _Block:
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise TemplateError(f"{name} line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise TemplateError(f"{name} is nested too deeply to be read") from None
    return {
        kind: list(_bodies(value))
        for block in _bodies(body)
        for kind, value in block.items()
        if kind in {"variable", "data"}
    }


def _labelled(files: Iterable[_Block], kind: str) -> Iterator[tuple[str, _Block]]:
    for file in files:
        for labels in _bodies(file.get(kind)):
            for label, block in labels.items():
                # JSON may give several bodies for one label, and "//" for a comment.
                yield from ((label, body) for body in _bodies(block))


def _bodies(value: object) -> Iterator[_Block]:
    for body in value if isinstance(value, list) else [value]:
        if isinstance(body, dict):
            yield body


def _merged(blocks: Iterable[tuple[str, _Block]]) -> dict[str, _Block]:
    """Lay blocks of one name over one another, as an override file does."""
    merged: dict[str, _Block] = {}
    for name, block in blocks:
        merged[name] = {**merged.get(name, {}), **block}
    return merged


def _parameter_blocks(files: Iterable[_Block]) -> Iterator[tuple[str, _Block]]:
    found = [
        pair
        for kind, block in _labelled(files, "data")
        if kind == "coder_parameter"
        for label, value in block.items()
        for pair in ((label, body) for body in _bodies(value))
    ]
    yield from _merged(found).items()


def _variable(name: str, block: _Block) -> TemplateVariable:
    return TemplateVariable(
        name=name,
        required=block.get("default") is None,
        sensitive=_is_true(block.get("sensitive")),
        ephemeral=_is_true(block.get("ephemeral")),
        description=str(block.get("description") or ""),
        type=str(block.get("type", "string")),
        default=block.get("default"),
    )


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def _variable_parameter(name: str, block: _Block) -> TemplateParameter:
    return _parameter(name.removeprefix(PARAMETER_PREFIX), block)


def _data_parameter(
    label: str, block: _Block, texts: tuple[tuple[str, str], ...]
) -> TemplateParameter:
    name = block.get("name", label)
    is_literal = isinstance(name, str) and "${" not in name and _is_quoted(name, texts)
    found = _parameter(name if is_literal else label, block)
    is_certain = is_literal and not block.keys() & {"count", "for_each"}
    return found if is_certain else replace(found, required=False)


def _is_quoted(text: str, texts: tuple[tuple[str, str], ...]) -> bool:
    """Return whether the text stands in the files as a literal: the reader drops the quotes."""
    return any(json.dumps(text, ensure_ascii=False) in content for _name, content in texts)


def _parameter(name: str, block: _Block) -> TemplateParameter:
    default = block.get("default")
    is_text = default is None or isinstance(default, str)
    return TemplateParameter(
        name=name,
        required=default is None,
        description=str(block.get("description") or ""),
        default=default if is_text else json.dumps(default),
    )
