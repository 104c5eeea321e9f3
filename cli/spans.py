"""Lengths of time on the command line, such as ``90m``, ``8h`` or ``2d``."""

from __future__ import annotations

import re
from datetime import timedelta

import click

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
NEVER = timedelta()


class Span(click.ParamType[timedelta]):
    """A length of time of at least a minute; ``never`` is a length of zero."""

    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the length, or fail with the expected format."""
        if isinstance(value, timedelta):
            return value
        if value == "never":
            return NEVER
        match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", str(value))
        if match is None:
            self.fail(
                f"{value!r} is not a number of minutes, hours or days, such as 90m, 8h or 2d",
                param,
                ctx,
            )
        return timedelta(**{UNITS[match[2]]: int(match[1])})


def nanoseconds(span: timedelta) -> int:
    """Return a length of time as it is stored."""
    return span // timedelta(microseconds=1) * 1000
