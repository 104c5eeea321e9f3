"""Cron expressions, as the provider accepts them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAYS = {
    name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
}
_RANGE = re.compile(r"(?P<first>[*?]|\w+)(-(?P<last>\w+))?(/(?P<step>[0-9]+))?")
_DESCRIPTORS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}


@dataclass(frozen=True, kw_only=True)
class _Bounds:
    least: int
    most: int
    names: Mapping[str, int]


_SECOND = _MINUTE = _Bounds(least=0, most=59, names={})
_HOUR = _Bounds(least=0, most=23, names={})
_DAY = _Bounds(least=1, most=31, names={})
_MONTH = _Bounds(least=1, most=12, names=_MONTHS)
_WEEKDAY = _Bounds(least=0, most=6, names=_DAYS)
FIVE = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
SIX = (_SECOND, *FIVE)


def check_cron(text: str, fields: Sequence[_Bounds]) -> None:
    """Check an expression with exactly these fields.

    Raises:
        ValueError: it is none.
    """
    words = text.split()
    if len(words) != len(fields):
        raise ValueError(f"expected exactly {len(fields)} fields, found {len(words)}: {words}")
    for word, bounds in zip(words, fields, strict=True):
        for part in word.split(","):
            _check_range(part, bounds)


def check_script_cron(text: str) -> None:
    """Check an expression of a script: seconds first, the day of the week may be left out.

    Raises:
        ValueError: it is none.
    """
    if text.startswith("@"):
        if text not in _DESCRIPTORS and not re.fullmatch(
            r"@every ([0-9.]+(ms|us|ns|h|m|s))+", text
        ):
            raise ValueError(f"unrecognized descriptor: {text}")
        return
    words = text.split()
    if len(words) not in {5, 6}:
        raise ValueError(f"expected 5 to 6 fields, found {len(words)}: {words}")
    check_cron(" ".join([*words, "*"][:6]), SIX)


def _check_range(part: str, bounds: _Bounds) -> None:
    found = _RANGE.fullmatch(part)
    if not found:
        raise ValueError(f"failed to parse int from {part}")
    if found["step"] == "0":
        raise ValueError(f"step of range should be a positive number: {part}")
    if found["first"] in {"*", "?"}:
        return
    first = _number(found["first"], bounds)
    last = _number(found["last"], bounds) if found["last"] else first
    if first < bounds.least:
        raise ValueError(f"beginning of range ({first}) below minimum ({bounds.least}): {part}")
    if last > bounds.most:
        raise ValueError(f"end of range ({last}) above maximum ({bounds.most}): {part}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {part}")


def _number(word: str, bounds: _Bounds) -> int:
    named = bounds.names.get(word.lower())
    if named is not None:
        return named
    if not word.isdecimal():
        raise ValueError(f"failed to parse int from {word}")
    return int(word)
