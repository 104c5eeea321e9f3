"""After a gap in the connection to the database no worker is judged for a while."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.harness.clock import Clock
from worker.maintenance.connectivity import Connectivity


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connectivity(clock: Clock) -> Connectivity:
    return Connectivity(settle=timedelta(seconds=20), clock=clock)


def test_it_is_stable_from_the_start(connectivity: Connectivity) -> None:
    assert connectivity.is_stable()


def test_a_quick_answer_keeps_it_stable(connectivity: Connectivity) -> None:
    with connectivity.watch():
        pass

    assert connectivity.is_stable()


def test_an_error_is_a_gap(connectivity: Connectivity) -> None:
    with pytest.raises(OSError, match="refused"), connectivity.watch():
        raise OSError("refused")

    assert not connectivity.is_stable()


def test_a_late_answer_is_a_gap(connectivity: Connectivity, clock: Clock) -> None:
    with connectivity.watch():
        clock.now += 2

    assert not connectivity.is_stable()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(19, False, id="not yet"),
        pytest.param(20, True, id="long enough"),
    ],
)
def test_it_is_stable_again_after_a_while(
    connectivity: Connectivity, clock: Clock, seconds: float, expected: bool
) -> None:
    with connectivity.watch():
        clock.now += 2

    clock.now += seconds

    assert connectivity.is_stable() is expected
