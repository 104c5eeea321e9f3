"""The rules of a ``validation`` block, with the texts of the coder provider."""

from __future__ import annotations

import json
import re

from db.jobs.declarations import TemplateParameter
from db.parameters.pattern import PatternError, matches

STRING, NUMBER, BOOL, LIST = "string", "number", "bool", "list(string)"
MAX_SHOWN = 200
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(
    r"[+-]?(?:inf(?:inity)?|nan|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)", re.IGNORECASE | re.ASCII
)


class RuleError(Exception):
    """A value breaks a rule; the message is for the user."""


class MissingValueError(RuleError):
    """A needed value is missing or empty."""


def check_rules(parameter: TemplateParameter, value: str, previous: str | None) -> None:
    """Check a value against the validation block and the type of its parameter.

    Args:
        previous: the value of the build before, for ``monotonic``.

    Raises:
        RuleError: the value or the block is wrong.
    """
    _check_block(parameter)
    match parameter.type:
        case "bool":
            if value not in {"true", "false"}:
                raise RuleError('boolean value can be either "true" or "false"')
        case "string":
            _check_text(parameter, value)
        case "number":
            _check_whole_number(parameter, value, previous)
        case "list(string)":
            if list_of(value) is None:
                raise RuleError(f"value {quoted(value)} is not valid list of strings")


def check_number(value: str) -> None:
    """Check a number that has no validation block: any number that Terraform takes.

    Raises:
        RuleError: it is not a number.
    """
    if not _NUMBER.fullmatch(value):
        raise RuleError(f"{quoted(value)} is not a number")


def has_rules(parameter: TemplateParameter) -> bool:
    """Return whether the validation block of the parameter restricts its value."""
    bounds = (parameter.validation_min, parameter.validation_max)
    is_bounded = any(bound is not None for bound in bounds)
    return is_bounded or bool(parameter.validation_regex or parameter.validation_monotonic)


def list_of(value: str) -> list[str] | None:
    """Return the strings of a JSON list, none for ``null``; None if the value is something else."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        return None
    return found


def quoted(value: str) -> str:
    """Return a value in quotes for an error, shortened if it is long."""
    return json.dumps(shortened(value), ensure_ascii=False)


def shortened(value: str) -> str:
    """Return a value for an error: its beginning, if it is long."""
    is_short = len(value) <= MAX_SHOWN
    return value if is_short else f"{value[:MAX_SHOWN]}\N{HORIZONTAL ELLIPSIS}"


def _check_block(parameter: TemplateParameter) -> None:
    kind = parameter.type
    if kind != NUMBER:
        if parameter.validation_min is not None:
            raise RuleError(f"a min cannot be specified for a {kind} type")
        if parameter.validation_max is not None:
            raise RuleError(f"a max cannot be specified for a {kind} type")
        if parameter.validation_monotonic:
            raise RuleError(
                f"monotonic validation can only be specified for number types, not {kind} types"
            )
    if kind != STRING and parameter.validation_regex:
        raise RuleError(f"a regex cannot be specified for a {kind} type")


def _check_text(parameter: TemplateParameter, value: str) -> None:
    try:
        matching = matches(parameter.validation_regex, value)
    except PatternError:
        # The import has read it, so it is one of the few that only Go understands: the provider
        # judges the value in the plan.
        return
    if not parameter.validation_error:
        raise RuleError("an error must be specified with a regex validation")
    if not matching:
        raise RuleError(
            f"{parameter.validation_error}"
            f" (value {quoted(value)} does not match {quoted(parameter.validation_regex)})"
        )


def _check_whole_number(parameter: TemplateParameter, value: str, previous: str | None) -> None:
    number = _integer(value)
    if number is None:
        raise RuleError(_rendered(parameter, value) or f"value {quoted(value)} is not a number")
    if problem := _problem_of_bounds(parameter, number):
        raise RuleError(_rendered(parameter, value) or problem)
    _check_monotonic(parameter.validation_monotonic, number, previous)


def _problem_of_bounds(parameter: TemplateParameter, number: int) -> str:
    """Return which bound a number is beyond; empty if none."""
    least, most = parameter.validation_min, parameter.validation_max
    if least is not None and number < least:
        return f"value {number} is less than the minimum {least}"
    if most is not None and number > most:
        return f"value {number} is more than the maximum {most}"
    return ""


def _check_monotonic(monotonic: str, number: int, previous: str | None) -> None:
    if monotonic not in {"", "increasing", "decreasing"}:
        raise RuleError('number monotonicity can be either "increasing" or "decreasing"')
    before = None if previous is None else _integer(previous)
    if before is None:
        return
    if monotonic == "increasing" and number < before:
        relation = "greater"
    elif monotonic == "decreasing" and number > before:
        relation = "lower"
    else:
        return
    raise RuleError(
        f"parameter value '{number}' must be equal or {relation} than previous value: {before}"
    )


def _rendered(parameter: TemplateParameter, value: str) -> str:
    """Return the author's own error text; empty if there is none."""
    bounds = {"{min}": parameter.validation_min, "{max}": parameter.validation_max}
    text = parameter.validation_error
    for placeholder, bound in bounds.items():
        text = text.replace(placeholder, "" if bound is None else str(bound))
    return text.replace("{value}", shortened(value))


def _integer(value: str) -> int | None:
    if not _INTEGER.fullmatch(value):
        return None
    number = int(value)
    return number if -(2**63) <= number < 2**63 else None
