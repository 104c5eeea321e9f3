"""Lengths of time on the command line, such as ``90m``, ``8h`` or ``2d``."""

from __future__ import annotations

import re
from datetime import timedelta

import click

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
NEVER = timedelta()


class Length(click.ParamType[timedelta]):
    """A number and a unit, such as ``12h``.

    Args:
        pattern: what is read, with groups for the number and the unit.
        expected: what it must be, for the error.
    """

    def __init__(self, name: str, pattern: str, expected: str) -> None:
        self.name = name
        self._pattern = pattern
        self._expected = expected

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the length, or fail with the expected format."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(self._pattern, str(value))
        if match is None:
            self.fail(f"{value!r} is not {self._expected}", param, ctx)
        return timedelta(**{UNITS[match[2]]: int(match[1])})


AGE = Length("age", r"([0-9]{1,5})([dh])", "a number of days or hours, such as 30d or 12h")


class Span(Length):
    """A length of time of at least a minute; ``never`` is a length of zero."""

    def __init__(self) -> None:
        super().__init__(
            "span",
            r"([1-9][0-9]{0,4})([mhd])",
            "a number of minutes, hours or days, such as 90m, 8h or 2d",
        )

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the length, or fail with the expected format."""
        return NEVER if value == "never" else super().convert(value, param, ctx)


def nanoseconds(span: timedelta) -> int:
    """Return a length of time as it is stored."""
    return span // timedelta(microseconds=1) * 1000
