"""The parameters that ``data "coder_parameter"`` declares, in modules too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from db.jobs.declarations import ParameterOption, TemplateParameter
from provisioner.engines.terraform.conversion.attributes import (
    Attributes,
    block,
    blocks,
    flag,
    integer,
    text,
    whole_number,
)
from provisioner.engines.terraform.conversion.instances import Instance

TYPE = "coder_parameter"
_TYPES = ("string", "number", "bool", "list(string)")
_MONOTONIC = ("increasing", "decreasing")


def parameters_of(instances: Sequence[Instance]) -> tuple[TemplateParameter, ...]:
    """Return the parameters, in the order of the plan."""
    return tuple(
        _parameter(instance.attributes) for instance in instances if instance.is_data_of(TYPE)
    )


def _parameter(attributes: Attributes) -> TemplateParameter:
    rule = block(attributes, "validation")
    low, high = _bounds(rule)
    default = attributes.get("default")
    return TemplateParameter(
        name=text(attributes, "name"),
        required=not flag(attributes, "optional", default=isinstance(default, str)),
        display_name=text(attributes, "display_name"),
        description=text(attributes, "description"),
        type=_one_of(_TYPES, text(attributes, "type"), _TYPES[0]),
        form_type=text(attributes, "form_type"),
        mutable=flag(attributes, "mutable"),
        default=default if isinstance(default, str) else None,
        icon=text(attributes, "icon"),
        options=tuple(_options(attributes)),
        validation_regex=text(rule, "regex"),
        validation_error=text(rule, "error"),
        validation_min=low,
        validation_max=high,
        validation_monotonic=_one_of(_MONOTONIC, text(rule, "monotonic"), ""),
        order=integer(attributes, "order"),
        ephemeral=flag(attributes, "ephemeral"),
        sensitive=_is_masked(attributes),
    )


def _is_masked(attributes: Attributes) -> bool:
    """Return whether forms hide what is typed, which the style of an input asks for."""
    try:
        styling = json.loads(text(attributes, "styling") or "{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(styling, dict) and styling.get("mask_input") is True


def _options(attributes: Attributes) -> Iterator[ParameterOption]:
    for option in blocks(attributes, "option"):
        yield ParameterOption(
            name=text(option, "name"),
            value=text(option, "value"),
            description=text(option, "description"),
            icon=text(option, "icon"),
        )


def _bounds(rule: Attributes) -> tuple[int | None, int | None]:
    """Return the smallest and the largest allowed number, each None if there is none."""
    low, high = whole_number(rule, "min"), whole_number(rule, "max")
    if "min_disabled" in rule or "max_disabled" in rule:
        return (
            None if flag(rule, "min_disabled") else low,
            None if flag(rule, "max_disabled") else high,
        )
    # An old provider writes 0 for a bound that is not set.
    return (low, high) if low or high else (None, None)


def _one_of(known: Sequence[str], value: str, default: str) -> str:
    return value if value in known else default
