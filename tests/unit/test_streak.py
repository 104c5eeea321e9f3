"""A streak is told twice, however often what it counts is tried."""

from __future__ import annotations

from db.streak import Streak


def test_the_first_failure_alone_begins_a_streak() -> None:
    streak = Streak()
    assert [streak.fail() for _ in range(3)] == [True, False, False]


def test_a_success_tells_how_many_failures_it_ended() -> None:
    streak = Streak()
    streak.fail()
    streak.fail()
    assert [streak.end(), streak.end()] == [2, 0]


def test_a_failure_after_a_success_begins_another_streak() -> None:
    streak = Streak()
    streak.fail()
    streak.end()
    assert streak.fail()


def test_a_success_without_a_failure_ends_nothing() -> None:
    assert Streak().end() == 0
