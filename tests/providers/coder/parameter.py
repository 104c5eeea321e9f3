"""The data source ``coder_parameter``."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from tests.providers.checks import is_url, one_of, quoted, whole
from tests.providers.coder.forms import FORM_TYPES, MULTI_SELECT, form_type
from tests.providers.coder.validation import InvalidValueError, Validation
from tests.providers.coder.values import problem_of_type, strings
from tests.providers.findings import Findings, Refusal
from tests.providers.kinds import DataSource
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    NUMBER,
    STRING,
    Nested,
    Values,
    computed,
    optional,
    required,
)


def variable_of(name: str) -> str:
    """Return the environment variable that carries the value of a parameter."""
    return f"CODER_PARAMETER_{hashlib.sha256(name.encode()).hexdigest()}"


def previous_variable_of(name: str) -> str:
    """Return the environment variable that carries the value of the build before."""
    return f"CODER_PARAMETER_PREVIOUS_{hashlib.sha256(name.encode()).hexdigest()}"


def _fill(values: Values) -> None:
    default = values["default"]
    values["optional"] = default is not None
    _refuse_contradictions(values)
    given = os.environ.get(variable_of(values["name"]))
    value = default if given is None else given
    values["form_type"] = form_type(
        values["type"], values["form_type"], has_options=bool(values["option"])
    )
    _check_options(values)
    blocks, values["validation"] = values["validation"], _shown(values["validation"])
    if value is not None or blocks:
        _check_value(values, blocks, value or "", is_default=given is None and default is not None)
    values["value"] = value or ""
    values["option"] = values["option"] or None


def _refuse_contradictions(values: Values) -> None:
    if values["ephemeral"] and not values["mutable"]:
        raise Refusal("parameter can't be immutable and ephemeral")
    if values["ephemeral"] and not values["optional"]:
        raise Refusal("ephemeral parameter requires the default property")


def _check_options(values: Values) -> None:
    # The options of a multi-select are single texts; the value is a list of them.
    kind = "string" if values["form_type"] == MULTI_SELECT else values["type"]
    names: set[str] = set()
    found: set[str] = set()
    for option in values["option"]:
        name, value = option["name"], option["value"]
        if name in names:
            raise Refusal(
                "Option names must be unique.",
                f"multiple options found with the same name {quoted(name)}",
            )
        if value in found:
            raise Refusal(
                "Option values must be unique.",
                f"multiple options found with the same value {quoted(value)}",
            )
        if problem_of_type(kind, value):
            raise Refusal(
                f"Option {quoted(name)} with value={quoted(value)} is not of type {quoted(kind)}"
            )
        names.add(name)
        found.add(value)


def _check_value(
    values: Values, blocks: list[dict[str, Any]], value: str, *, is_default: bool
) -> None:
    if values["option"]:
        offered = [option["value"] for option in values["option"]]
        called = "Default value" if is_default else "Value"
        if values["form_type"] == MULTI_SELECT:
            _check_choices(value, offered, called)
        else:
            _check_choice(value, offered, called)
    for block in blocks:
        _check_rules(values, block, value, is_default=is_default)
    if problem := problem_of_type(values["type"], value):
        raise Refusal(f"Parameter value is not of type {quoted(values['type'])}", problem)


def _check_choice(value: str, offered: list[str], called: str) -> None:
    if value in offered:
        return
    empty = (
        ". The value is empty, did you forget to set it with a default or from user input?"
        if not value
        else ""
    )
    raise Refusal(
        f"{called} must be a valid option{empty}",
        f"the value {quoted(value)} must be defined as one of options",
    )


def _check_choices(value: str, offered: list[str], called: str) -> None:
    chosen = strings(value)
    if chosen is None:
        raise Refusal(
            "When using list(string) type, value must be a json encoded list of strings",
            f"value {quoted(value)} is not a valid list of strings",
        )
    if missing := [item for item in chosen if item not in offered]:
        raise Refusal(
            f"{called}s must be a valid option",
            f"{called.lower()} {quoted(value)} is not a valid option,"
            f' values "{", ".join(missing)}" are missing from the options',
        )


def _check_rules(values: Values, block: dict[str, Any], value: str, *, is_default: bool) -> None:
    previous = os.environ.get(previous_variable_of(values["name"]))
    try:
        Validation.of(block).check(values["type"], value, previous)
    except InvalidValueError as error:
        called = "default value" if is_default else "value"
        raise Refusal(
            f"Invalid parameter {called} according to 'validation' block", str(error)
        ) from None


def _shown(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the validation blocks as the state shows them: what is not set is zero or empty."""
    return [
        {
            "min": block["min"] or 0,
            "max": block["max"] or 0,
            "min_disabled": block["min"] is None,
            "max_disabled": block["max"] is None,
            "monotonic": block["monotonic"] or "",
            "regex": block["regex"] or "",
            "error": block["error"] or "",
        }
        for block in blocks
    ]


def _judge(findings: Findings, config: Values) -> None:
    for block in config.get("validation") or ():
        if not isinstance(block, dict) or block.get("regex") is None:
            continue
        for other in ("min", "max", "monotonic"):
            if block.get(other) is not None:
                findings.error(
                    "Conflicting configuration arguments",
                    f'"validation.0.regex": conflicts with validation.0.{other}',
                    path="validation",
                )


PARAMETER = DataSource(
    name="parameter",
    judge=_judge,
    fill=_fill,
    parts=(
        IDENTITY,
        required("name", STRING),
        optional("display_name", STRING),
        optional("description", STRING),
        optional(
            "type",
            STRING,
            one_of("string", "number", "bool", "list(string)"),
            default="string",
        ),
        optional("form_type", STRING, one_of(*FORM_TYPES), default=""),
        optional("styling", STRING, default="{}"),
        optional("mutable", BOOL, default=False),
        optional("default", STRING),
        optional("icon", STRING, is_url),
        optional("order", NUMBER, whole),
        optional("ephemeral", BOOL, default=False),
        computed("value", STRING),
        computed("optional", BOOL),
        Nested(
            name="option",
            parts=(
                required("name", STRING),
                required("value", STRING),
                optional("description", STRING),
                optional("icon", STRING, is_url),
            ),
        ),
        Nested(
            name="validation",
            most=1,
            parts=(
                optional("min", NUMBER, whole),
                optional("max", NUMBER, whole),
                computed("min_disabled", BOOL),
                computed("max_disabled", BOOL),
                optional("monotonic", STRING),
                optional("regex", STRING),
                optional("error", STRING),
            ),
        ),
    ),
)
