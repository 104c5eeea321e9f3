"""Measure in pairs: both sides alternate, and the result is the ratio of each pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the report. ``ratio`` is ours divided by theirs, the median of the rounds."""

    bench: str
    what: str
    unit: str
    ours: float
    theirs: float | None = None
    ratio: float | None = None
    reach: str = ""  #: the minimum, such as ``<= 1.5``, for the ratio or else for ours
    aim: str = ""  #: the target, in the same form
    rounds: int = 1
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether ``reach`` holds; None if there is no minimum."""
        return _holds(self.reach, self.ours if self.ratio is None else self.ratio)

    @property
    def aimed(self) -> bool | None:
        """Whether ``aim`` holds; None if there is no target."""
        return _holds(self.aim, self.ours if self.ratio is None else self.ratio)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The medians of both sides and of the ratios."""

    ours: float
    theirs: float
    ratio: float
    rounds: int

    def result(
        self, bench: str, what: str, *, unit: str, reach: str = "", aim: str = "", note: str = ""
    ) -> Result:
        """Return the line of the report that says so."""
        return Result(
            bench=bench, what=what, unit=unit, reach=reach, aim=aim, note=note, **vars(self)
        )


def pair(ours: Callable[[], float], theirs: Callable[[], float], *, rounds: int) -> Pair:
    """Measure A B, B A, A B, ...; return the medians of A, of B and of the ratios."""
    pairs = []
    for index in range(rounds):
        if index % 2:
            other, mine = theirs(), ours()
        else:
            mine, other = ours(), theirs()
        pairs.append((mine, other))
    return Pair(
        ours=statistics.median(mine for mine, _ in pairs),
        theirs=statistics.median(other for _, other in pairs),
        ratio=statistics.median(mine / other for mine, other in pairs),
        rounds=rounds,
    )


def pair_quantiles(ours_s: Sequence[float], theirs_s: Sequence[float], share: float) -> Pair:
    """Return the quantiles ``share`` (0 to 1) of times in seconds, in milliseconds."""
    mine, other = quantile(ours_s, share), quantile(theirs_s, share)
    return Pair(ours=mine * 1000, theirs=other * 1000, ratio=mine / other, rounds=len(ours_s))


def in_turns(
    few: Callable[[], float], many: Callable[[], float], *, calls: int
) -> tuple[float, float]:
    """Measure both alternately, ``calls`` times each; return their medians."""
    times = [(few(), many()) for _ in range(calls)]
    at_few, at_many = (quantile(side, 0.5) for side in zip(*times, strict=True))
    return at_few, at_many


def growth(bench: str, what: str, *, few_s: float, many_s: float, rounds: int) -> Result:
    """Return how a time in seconds grows from a small database to a large one."""
    pair = Pair(ours=many_s * 1000, theirs=few_s * 1000, ratio=many_s / few_s, rounds=rounds)
    return pair.result(bench, what, unit="ms", reach="<= 1.5", aim="<= 1.1")


def timed(action: Callable[[], object]) -> float:
    """Return how long ``action`` takes, in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile ``share`` (0 to 1) of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _holds(test: str, value: float) -> bool | None:
    if not test:
        return None
    operator, _, limit = test.partition(" ")
    return value <= float(limit) if operator in {"<=", "<"} else value >= float(limit)
