"""Read the declarations of a Terraform template from its files, without running anything.

Only the ``variable`` and ``data "coder_parameter"`` blocks of the root module are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from db.jobs.declarations import PARAMETER_PREFIX, Template, TemplateParameter, TemplateVariable
from provisioner.engines.terraform.hcl import TemplateError, read_hcl
from provisioner.engines.terraform.workspacetags import tags_of
from provisioner.host.archive import TemplateFiles
from provisioner.host.sandbox.port import Sandbox

WORKSPACE_VARIABLES = frozenset(
    {
        "workspace_transition",
        "workspace_name",
        "workspace_owner",
        "workspace_id",
        "start_count",
    }
)
"""Variables whose values the daemon sets (``TF_VAR_*``), so that no user has to."""

PARAMETER_TYPES = {
    "number": "number",
    "bool": "bool",
    "list(string)": "list(string)",
    "set(string)": "list(string)",
}
"""The type of a parameter by that of the variable that declares it; any other is a string."""

SUFFIXES = (".tf", ".tf.json")
TOFU_SUFFIXES = (".tofu", ".tofu.json")
_OVERRIDE = re.compile(r"(^|_)override\.(tf|tofu)(\.json)?$")

_Block = Mapping[str, Any]


def read_template(
    files: TemplateFiles, *, is_tofu: bool = False, sandbox: Sandbox | None = None
) -> Template:
    """Return the variables and parameters of a template's root module, in the files' order.

    Parameters are ``data "coder_parameter"`` blocks and variables named ``parameter_<name>``.
    A declaration without a default is required; so is a ``coder_parameter`` with a null one. A
    parameter with ``count`` or ``for_each``, or with a computed name, is never required: only
    Terraform knows whether it exists and what its name is.

    Args:
        is_tofu: whether OpenTofu runs the template: it prefers ``.tofu`` files.
        sandbox: where files in HCL are read; the default is none.

    Raises:
        TemplateError: there are no Terraform files, or one of them cannot be read.
    """
    names = _names(files, is_tofu=is_tofu)
    texts = tuple((name, _text(name, files[name])) for name in names)
    blocks = _read_blocks(texts, sandbox)
    declared = _merged(_labelled(blocks, "variable"))
    parameters = _parameters(blocks, declared, texts)
    return Template(
        variables=tuple(_variables(declared)),
        # Of two parameters of one name, the last one counts.
        parameters=tuple({found.name: found for found in parameters}.values()),
        tags=tags_of(
            (block for _label, block in _data_blocks(blocks, "coder_workspace_tags")),
            lambda text: _is_literal(text, texts),
        ),
    )


def _read_blocks(texts: tuple[tuple[str, str], ...], sandbox: Sandbox | None) -> list[_Block]:
    of_hcl = {name: text for name, text in texts if not name.endswith(".json")}
    read = read_hcl(of_hcl, sandbox=sandbox)
    return [read[name] if name in read else _read_json(name, text) for name, text in texts]


def _variables(declared: Mapping[str, _Block]) -> Iterator[TemplateVariable]:
    for name, block in declared.items():
        if not _is_parameter(name) and name not in WORKSPACE_VARIABLES:
            yield _variable(name, block)


def _parameters(
    blocks: list[_Block], declared: Mapping[str, _Block], texts: tuple[tuple[str, str], ...]
) -> Iterator[TemplateParameter]:
    for label, block in _data_blocks(blocks, "coder_parameter"):
        yield _data_parameter(label, block, texts)
    for name, block in declared.items():
        if _is_parameter(name):
            found = _parameter(name.removeprefix(PARAMETER_PREFIX), block)
            kind = str(block.get("type", "string"))
            yield replace(
                found,
                required="default" not in block,
                ephemeral=_is_true(block.get("ephemeral")),
                sensitive=_is_true(block.get("sensitive")),
                variable_type=kind,
                type=PARAMETER_TYPES.get(kind, "string"),
            )


def _is_parameter(variable: str) -> bool:
    return variable.startswith(PARAMETER_PREFIX) and variable != PARAMETER_PREFIX


def _names(files: TemplateFiles, *, is_tofu: bool) -> list[str]:
    """Return the files that Terraform loads, overrides last, as Terraform does."""
    found = [name for name in files if _is_loaded(name, is_tofu=is_tofu)]
    if not found:
        raise TemplateError("the template has no .tf or .tf.json file in its root")
    # OpenTofu does not load a file for Terraform that has a namesake of its own.
    replaced = {name.replace(".tofu", ".tf") for name in found if ".tofu" in name}
    return sorted(
        (name for name in found if name not in replaced),
        key=lambda name: (_OVERRIDE.search(name) is not None, name),
    )


def _is_loaded(name: str, *, is_tofu: bool) -> bool:
    suffixes = (*SUFFIXES, *TOFU_SUFFIXES) if is_tofu else SUFFIXES
    return "/" not in name and name.endswith(suffixes) and not name.startswith(".")


def _text(name: str, data: memoryview) -> str:
    try:
        return str(data, "utf-8-sig")
    except UnicodeDecodeError:
        raise TemplateError(f"{name} is not UTF-8 text; save it as UTF-8") from None


def _read_json(name: str, text: str) -> _Block:
    return {
        kind: list(_bodies(value))
        for block in _bodies(_parse_json(name, text))
        for kind, value in block.items()
        if kind in {"variable", "data"}
    }


def _parse_json(name: str, text: str) -> object:
    try:
        body: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise TemplateError(f"{name} line {error.lineno}: not JSON: {error.msg}") from None
    except ValueError:  # that is not about the form, so it is about the digits of a number
        raise TemplateError(f"{name} has a number with too many digits to be read") from None
    except RecursionError:
        raise TemplateError(f"{name} is nested too deeply to be read") from None
    return body


def _labelled(files: Iterable[_Block], kind: str) -> Iterator[tuple[str, _Block]]:
    for file in files:
        for labels in _bodies(file.get(kind)):
            yield from _by_label(labels)


def _by_label(labels: _Block) -> Iterator[tuple[str, _Block]]:
    for label, block in labels.items():
        # In JSON a label may have several bodies, and "//" is a comment.
        yield from ((label, body) for body in _bodies(block))


def _bodies(value: object) -> Iterator[_Block]:
    for body in value if isinstance(value, list) else [value]:
        if isinstance(body, dict):
            yield body


def _merged(blocks: Iterable[tuple[str, _Block]]) -> dict[str, _Block]:
    """Merge blocks of the same name, as Terraform does with override files."""
    merged: dict[str, _Block] = {}
    for name, block in blocks:
        merged[name] = {**merged.get(name, {}), **block}
    return merged


def _data_blocks(files: Iterable[_Block], wanted: str) -> Iterator[tuple[str, _Block]]:
    found = (
        pair
        for kind, block in _labelled(files, "data")
        if kind == wanted
        for pair in _by_label(block)
    )
    yield from _merged(found).items()


def _variable(name: str, block: _Block) -> TemplateVariable:
    return TemplateVariable(
        name=name,
        required="default" not in block,  # the default may be null
        sensitive=_is_true(block.get("sensitive")),
        ephemeral=_is_true(block.get("ephemeral")),
        description=str(block.get("description") or ""),
        type=str(block.get("type", "string")),
        default=block.get("default"),
    )


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def _data_parameter(
    label: str, block: _Block, texts: tuple[tuple[str, str], ...]
) -> TemplateParameter:
    name = block.get("name", label)
    is_literal = _is_literal(name, texts)
    found = _parameter(name if is_literal else label, block)
    is_certain = is_literal and not block.keys() & {"count", "for_each"}
    return found if is_certain else replace(found, required=False)


def _is_literal(name: object, texts: tuple[tuple[str, str], ...]) -> bool:
    """Return whether a name is a literal in the files: the reader drops the quotes of literals."""
    if not isinstance(name, str) or "${" in name:
        return False
    return any(json.dumps(name, ensure_ascii=False) in content for _file, content in texts)


def _parameter(name: str, block: _Block) -> TemplateParameter:
    default = block.get("default")
    is_text = default is None or isinstance(default, str)
    return TemplateParameter(
        name=name,
        required=default is None,
        description=str(block.get("description") or ""),
        default=default if is_text else json.dumps(default),
    )
