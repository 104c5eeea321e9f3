from __future__ import annotations

import time

import pytest

from db.parameters.pattern import MAX_PATTERN, PatternError, matches
from tests.harness.patterns import MEANINGS


@pytest.mark.parametrize(("pattern", "value", "expected"), MEANINGS)
def test_a_pattern_means_what_it_means_in_go(pattern: str, value: str, expected: bool) -> None:
    assert matches(pattern, value) is expected


@pytest.mark.parametrize("pattern", ["(", "[a", "(?=a)", r"(a)\1", "a{1000}{1000}{1000}", "*"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        matches(pattern, "a")


def test_a_pattern_that_is_too_long_is_refused() -> None:
    with pytest.raises(PatternError, match=r"^the pattern is longer than 4096 characters$"):
        matches("a" * (MAX_PATTERN + 1), "a")


def test_no_value_keeps_a_pattern_busy() -> None:
    started = time.monotonic()
    assert not matches(r"^(a+)+(a|aa)+$", "a" * 100_000 + "b")
    assert time.monotonic() - started < 5
