"""After a gap in the contact with the database nobody is judged for a while."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.harness.clock import Clock
from worker.maintenance.contact import Contact


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def contact(clock: Clock) -> Contact:
    return Contact(settle=timedelta(seconds=20), clock=clock)


def test_contact_is_settled_from_the_start(contact: Contact) -> None:
    assert contact.is_settled()


def test_a_quick_answer_keeps_it_settled(contact: Contact) -> None:
    with contact.watch():
        pass

    assert contact.is_settled()


def test_an_error_is_a_gap(contact: Contact) -> None:
    with pytest.raises(OSError, match="refused"), contact.watch():
        raise OSError("refused")

    assert not contact.is_settled()


def test_a_late_answer_is_a_gap(contact: Contact, clock: Clock) -> None:
    with contact.watch():
        clock.now += 2

    assert not contact.is_settled()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(19, False, id="not yet"),
        pytest.param(20, True, id="long enough"),
    ],
)
def test_time_settles_it_again(
    contact: Contact, clock: Clock, seconds: float, expected: bool
) -> None:
    with contact.watch():
        clock.now += 2

    clock.now += seconds

    assert contact.is_settled() is expected
