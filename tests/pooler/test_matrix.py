"""No trouble of PostgreSQL or of a pooler fails a build, in whatever stage it was."""

from __future__ import annotations

import pytest

from tests.harness.held import FENCE_S, Held
from tests.harness.troubles import TROUBLES, Trouble, strike

SHORT_S = 3.0
LONG_S = FENCE_S + 3.0
CELLS = [
    pytest.param(mode, trouble, id=f"{mode}-{trouble.__name__}")
    for mode, troubles in TROUBLES.items()
    for trouble in troubles
]

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(("held", "trouble"), CELLS, indirect=["held"], scope="module")
def test_a_trouble_shorter_than_the_fence_costs_no_attempt(held: Held, trouble: Trouble) -> None:
    strike(held, trouble, seconds=SHORT_S)

    assert held.problems() == []


@pytest.mark.parametrize(("held", "trouble"), CELLS, indirect=["held"], scope="module")
def test_a_trouble_longer_than_the_fence_loses_no_apply_that_has_ended(
    held: Held, trouble: Trouble
) -> None:
    strike(held, trouble, seconds=LONG_S)

    assert held.problems(attempts=2) == []
