"""A short chaos: what `make chaos` plays for longer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.harness.chaos import Verdict, prepared
from tests.harness.databases import copied_database
from worker.embedded import Embedded

ROUNDS = 20

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def verdict(embedded: Embedded, template_database: str) -> Iterator[Verdict]:
    """What the checks found after some rounds. Set SEED to play one again."""
    seed = int(os.environ.get("SEED", "1"))
    with (
        copied_database(embedded, template_database) as name,
        prepared(seed, embedded, name) as chaos,
    ):
        chaos.play(ROUNDS, lambda _number: None)
        yield chaos.judge()


def test_no_invariant_is_broken(verdict: Verdict) -> None:
    assert verdict.problems == []


def test_builds_were_played(verdict: Verdict) -> None:
    assert verdict.builds["succeeded"] > 0
