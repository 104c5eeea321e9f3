"""Whether a parameter may have a value, by itself and after the value of the build before."""

from __future__ import annotations

import json

from db.jobs.declarations import TemplateParameter
from db.parameters.constraint import read_type
from db.parameters.rules import (
    BOOL,
    LIST,
    NUMBER,
    MissingValueError,
    RuleError,
    check_number,
    check_rules,
    has_rules,
    list_of,
    quoted,
    shortened,
)
from db.parameters.types import PRIMITIVES, misfit

MULTI_SELECT = "multi-select"
"""The form type of a parameter whose value is a list of its options."""


def check_value(parameter: TemplateParameter, value: str, previous: str | None = None) -> None:
    """Check the value that a build would get; an empty one stands for the default.

    Args:
        previous: the value of the build before, if there is one.

    Raises:
        RuleError: the value is not allowed.
    """
    if parameter.required and not value:
        raise MissingValueError("parameter value is required")
    judged = value or (parameter.default or "")
    if parameter.options and not _is_option(parameter, judged):
        choice = shortened(" ".join(_values(parameter)))
        raise RuleError(f"parameter value must match one of options: [{choice}]")
    if parameter.variable_type is not None:
        _check_variable(parameter.variable_type, judged)
    elif has_rules(parameter) or parameter.type in {BOOL, LIST}:
        check_rules(parameter, judged, previous)
    elif judged and parameter.type == NUMBER:
        check_number(judged)


def _check_variable(variable_type: str, value: str) -> None:
    """Check a value against the type of the Terraform variable that declares the parameter."""
    wanted = read_type(variable_type)
    if not value or wanted.name in {"string", "any"}:
        return
    if why := misfit(wanted, value if wanted.name in PRIMITIVES else _parsed(value)):
        raise RuleError(f"the value {why}")


def _parsed(value: str) -> object:
    try:
        return json.loads(value, parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise RuleError(f"value {quoted(value)} is not JSON") from None


def _no_json(name: str) -> None:
    """Refuse what Python reads and JSON does not know: NaN and Infinity."""
    raise ValueError(name)


def _is_option(parameter: TemplateParameter, value: str) -> bool:
    if parameter.form_type != MULTI_SELECT:
        return value in _values(parameter)
    chosen = list_of(value)
    return chosen is not None and set(chosen) <= set(_values(parameter))


def _values(parameter: TemplateParameter) -> list[str]:
    return [option.value for option in parameter.options]
