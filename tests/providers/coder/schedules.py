"""The schedules of prebuilt workspaces: which expressions are allowed, and whether two overlap."""

from __future__ import annotations

from itertools import combinations

from tests.providers.coder.cron import FIVE, check_cron

_HOURS, _DAYS, _MONTHS, _WEEKDAYS = range(1, 5)
_BOUNDS = {_HOURS: (0, 23), _DAYS: (0, 31), _MONTHS: (0, 12), _WEEKDAYS: (0, 6)}


class ScheduleError(Exception):
    """A schedule that is not allowed; the message says why."""


def check_schedule(expression: str) -> None:
    """Check one expression: five fields, of which the minute is a star.

    Raises:
        ScheduleError: it is not allowed.
    """
    words = expression.split()
    if len(words) != 5:
        raise ScheduleError(
            "cron spec failed validation: cron specification should consist of 5 fields"
        )
    if words[0] != "*":
        raise ScheduleError("cron spec failed validation: minute field should be *")
    try:
        check_cron(expression, FIVE)
    except ValueError as error:
        raise ScheduleError(f"failed to parse cron spec: {error}") from None


def check_overlaps(expressions: list[str]) -> None:
    """Check that no two expressions hold at the same time.

    Raises:
        ScheduleError: two of them do, or one uses steps or names.
    """
    for first, second in combinations(expressions, 2):
        if _overlap(first.split(), second.split()):
            raise ScheduleError(
                f"schedules overlap with each other: schedules overlap: {first} and {second}"
            )


def _overlap(first: list[str], second: list[str]) -> bool:
    def meet(field: int) -> bool:
        return bool(_members(first[field], field) & _members(second[field], field))

    return meet(_MONTHS) and _days_meet(first, second) and meet(_HOURS)


def _days_meet(first: list[str], second: list[str]) -> bool:
    weekdays = _members(first[_WEEKDAYS], _WEEKDAYS) & _members(second[_WEEKDAYS], _WEEKDAYS)
    days = _members(first[_DAYS], _DAYS) & _members(second[_DAYS], _DAYS)
    if "*" in {first[_DAYS], second[_DAYS]}:
        return bool(weekdays)
    if "*" in {first[_WEEKDAYS], second[_WEEKDAYS]}:
        return bool(days)
    return bool(days or weekdays)


def _members(word: str, field: int) -> set[int]:
    least, most = _BOUNDS[field]
    if word == "*":
        return set(range(least, most + 1))
    members: set[int] = set()
    for part in word.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ScheduleError(f"invalid schedule: {word}")
        low, high = int(first), int(last or first)
        if not least <= low <= high <= most:
            raise ScheduleError(f"invalid schedule: {word}")
        members |= set(range(low, high + 1))
    return members
