from __future__ import annotations

from worker.waiting import wait_until


def test_a_condition_is_asked_until_it_holds() -> None:
    answers = iter([False, False, True])

    assert wait_until(lambda: next(answers), limit_s=30, tick_s=0)


def test_a_condition_that_does_not_hold_in_time_is_given_up() -> None:
    assert not wait_until(lambda: False, limit_s=0, tick_s=0)
