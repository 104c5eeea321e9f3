"""Which schedules and times to live are stored."""

from __future__ import annotations

import pytest

from db.catalog.schedules import check_schedule, check_ttl_ms
from db.errors import InvalidError


@pytest.mark.parametrize(
    "schedule",
    [
        "30 9 * * 1-5",
        "CRON_TZ=Europe/Berlin 30 9 * * 1-5",
        "TZ=UTC 0 7 * * Mon,Wed,fri",
        "0,30 8-10 * * *",
        "*/15 * * * 0-6/2",
    ],
)
def test_a_schedule_of_days_of_the_week_is_stored(schedule: str) -> None:
    assert check_schedule(schedule) == schedule


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("", "five fields"),
        ("30 9 * *", "five fields"),
        ("30 9 1 * 1", "must be"),
        ("30 9 * 6 1", "must be"),
        ("60 9 * * 1", "the minute '60' is not allowed"),
        ("1 24 * * 1", "the hour '24' is not allowed"),
        ("1 1 * * 8", "the day of the week '8' is not allowed"),
        ("1 1 * * 5-1", "the day of the week"),
        ("1 1 * * 1-2-3", "the day of the week"),
        ("*/0 1 * * 1", "the minute"),
        ("x 1 * * 1", "the minute"),
        ("CRON_TZ=Europe/Atlantis 1 1 * * 1", "no time zone"),
        ("9" * 5000 + " 1 * * 1", "the minute"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        check_schedule(schedule)


@pytest.mark.parametrize("ttl_ms", [None, 0, 60_000])
def test_a_time_to_live_of_a_minute_or_none_is_stored(ttl_ms: int | None) -> None:
    assert check_ttl_ms(ttl_ms) == ttl_ms


def test_a_time_to_live_below_a_minute_is_refused() -> None:
    with pytest.raises(InvalidError, match="at least one minute"):
        check_ttl_ms(59_999)
