"""The values of template variables as they are stored: checked against the declared types.

A value of a string, a number or a bool is written as it is. Any other is written as JSON or as a
literal in HCL, as with ``terraform apply -var``, and stored as JSON: a build never reads HCL.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from db.jobs.declarations import TemplateVariable
from db.parameters.constraint import is_primitive, read_type
from db.parameters.types import misfit
from provisioner.engines.terraform.hcl import TemplateError, read_values


class VariableValueError(TemplateError):
    """The value of a variable can never be right; the message names the variable."""


def as_stored(variables: Iterable[TemplateVariable], values: Mapping[str, str]) -> dict[str, str]:
    """Return the values of variables as they are stored; others are left out.

    Raises:
        TemplateError: a value can never be right.
    """
    declared = {variable.name: variable for variable in variables if variable.name in values}
    collections = {name for name, found in declared.items() if not is_primitive(found.type)}
    parsed = _parsed({name: values[name] for name in collections})
    for name, variable in declared.items():
        _check(variable, parsed[name] if name in parsed else values[name])
    return {name: json.dumps(parsed[name]) if name in parsed else values[name] for name in declared}


def _parsed(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return values by name; those that are not JSON are read as HCL, all at once."""
    parsed, others = {}, {}
    for name, text in texts.items():
        try:
            parsed[name] = json.loads(text)
        except (ValueError, RecursionError):
            others[name] = text
    return parsed | read_values(others)


def _check(variable: TemplateVariable, value: object) -> None:
    if why := misfit(read_type(variable.type), value):
        # The reason may quote the value.
        reason = f"it is not of the type {variable.type}" if variable.sensitive else f"it {why}"
        raise VariableValueError(f"the value of the variable {variable.name!r} is wrong: {reason}")
