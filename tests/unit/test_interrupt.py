"""Until when a lease counts as held, and what takes that back."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from provisioner.host.interrupt import Interrupt, InterruptReason

NO_TIME = timedelta(0)
LONG_S = 3600


def test_the_answer_to_an_earlier_renewal_does_not_shorten_a_later_one() -> None:
    interrupt = Interrupt()
    interrupt.extend(time.monotonic() + LONG_S, grace=NO_TIME)
    interrupt.extend(time.monotonic() - 1, grace=NO_TIME)
    assert interrupt.may_write()


def lost(*before: InterruptReason) -> Interrupt:
    interrupt = Interrupt()
    for reason in before:
        interrupt.request(reason)
    interrupt.request(InterruptReason.LEASE_LOST, grace=NO_TIME)
    return interrupt


def test_a_lease_that_the_database_has_renewed_is_not_lost() -> None:
    interrupt = lost()
    assert interrupt.confirm(time.monotonic() + LONG_S)
    assert (interrupt.reason, interrupt.is_set(), interrupt.kill_at) == (None, False, None)


def test_a_renewal_that_is_too_old_confirms_nothing() -> None:
    interrupt = lost()
    assert not interrupt.confirm(time.monotonic() - 1)
    assert interrupt.reason is InterruptReason.LEASE_LOST


def test_a_drain_outlasts_the_loss_of_a_lease() -> None:
    interrupt = lost(InterruptReason.DRAIN)
    interrupt.confirm(time.monotonic() + LONG_S)
    assert (interrupt.reason, interrupt.is_set()) == (InterruptReason.DRAIN, True)


@pytest.mark.parametrize("reason", [InterruptReason.CANCEL, InterruptReason.DEADLINE])
def test_a_confirmed_lease_ends_no_other_request(reason: InterruptReason) -> None:
    interrupt = Interrupt()
    interrupt.request(reason)
    assert interrupt.confirm(time.monotonic() + LONG_S)
    assert (interrupt.reason, interrupt.is_set()) == (reason, True)
