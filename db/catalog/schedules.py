"""When a workspace should start automatically, and how long it should run."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from db.errors import InvalidError

LEAST_TTL_MS = 60_000
_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+")
_NUMBERS = {"minute": range(60), "hour": range(24), "day of the week": range(8)}
_DAYS = {"sun": "0", "mon": "1", "tue": "2", "wed": "3", "thu": "4", "fri": "5", "sat": "6"}


def check_schedule(schedule: str) -> str:
    """Return the schedule of an automatic start, such as ``CRON_TZ=Europe/Berlin 30 9 * * 1-5``.

    Raises:
        InvalidError: it has another form; a start is on days of the week, not on dates.
    """
    zone = _ZONE.match(schedule)
    if zone:
        _check_zone(zone[1])
    fields = schedule[zone.end() if zone else 0 :].split()
    if len(fields) != 5:
        raise InvalidError(
            "a schedule has five fields, and may begin with CRON_TZ=ZONE: minute hour * * weekdays"
        )
    if fields[2:4] != ["*", "*"]:
        raise InvalidError("the day of the month and the month must be *")
    for name, field in zip(_NUMBERS, (fields[0], fields[1], fields[4]), strict=True):
        _check_field(name, field.lower())
    return schedule


def check_ttl_ms(ttl_ms: int | None) -> int | None:
    """Return a time to live in milliseconds; None or 0: the workspace runs until it is stopped.

    Raises:
        InvalidError: it is shorter than a minute.
    """
    if ttl_ms and ttl_ms < LEAST_TTL_MS:
        raise InvalidError("time until shutdown must be at least one minute")
    return ttl_ms


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise InvalidError(f"there is no time zone {name[:50]!r}") from error


def _check_field(name: str, field: str) -> None:
    for part in field.split(","):
        span, slash, step = part.partition("/")
        is_span = span == "*" or _is_span(span, _NUMBERS[name])
        if not is_span or (slash and not _is_number(step, range(1, 60))):
            raise InvalidError(f"the {name} {part[:50]!r} is not allowed")


def _is_span(span: str, allowed: range) -> bool:
    ends = [_DAYS.get(end, end) for end in span.split("-")]
    are_numbers = len(ends) <= 2 and all(_is_number(end, allowed) for end in ends)
    return are_numbers and int(ends[0]) <= int(ends[-1])


def _is_number(text: str, allowed: range) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 2 and int(text) in allowed
