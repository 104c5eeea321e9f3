"""How large the values of a build may be, and which texts can be stored and passed on.

A value travels to the processes of a build in one entry of their environment, twice when it is the
previous value, too. Linux allows 128 KiB for one entry, and 2 MiB for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from db.errors import ParameterValidationError, ParameterViolation
from db.schema.enums import Transition
from db.texts import storable

MAX_GIVEN = 1000
MAX_NAME_BYTES = 1024
MAX_VALUE_BYTES = 128_000


def check_given(values: Mapping[str, str]) -> Iterator[ParameterViolation]:
    """Yield what is wrong with values from outside, whatever the template declares."""
    if len(values) > MAX_GIVEN:
        yield ParameterViolation(
            field="", detail=f"{len(values)} parameters are given; at most {MAX_GIVEN} are allowed"
        )
        return
    for name, value in values.items():
        if detail := _wrong_name(name) or _wrong_value(value):
            yield ParameterViolation(field=storable(str(name))[:100], detail=detail)


def passable(given: Mapping[str, str], transition: Transition) -> dict[str, str]:
    """Return values from outside that PostgreSQL can be asked about.

    Raises:
        ParameterValidationError: some cannot be. Never for a delete, which goes on without them.
    """
    violations = list(check_given(given))
    if not violations:
        return dict(given)
    if transition is not Transition.DELETE:
        raise ParameterValidationError(violations)
    if len(given) > MAX_GIVEN:
        return {}
    return {
        name: value for name, value in given.items() if not _wrong_name(name) + _wrong_value(value)
    }


def _wrong_name(name: object) -> str:
    if not isinstance(name, str):
        return f"the name of a parameter must be text, not {type(name).__name__}"
    if storable(name) != name:
        return "the name of a parameter contains a null byte or is not valid Unicode text"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"the name of a parameter has more than {MAX_NAME_BYTES} bytes"
    return ""


def _wrong_value(value: object) -> str:
    if not isinstance(value, str):
        return f"the value must be text, not {type(value).__name__}"
    if storable(value) != value:
        return "the value contains a null byte or is not valid Unicode text"
    if (size := len(value.encode())) > MAX_VALUE_BYTES:
        return f"the value has {size} bytes; at most {MAX_VALUE_BYTES} are allowed"
    return ""
