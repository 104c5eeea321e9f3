"""Whether the database has answered long enough for an expired lease to mean a lost worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(kw_only=True)
class Connectivity:
    """Watches statements that are sent at intervals.

    After an outage every lease looks as if its worker were lost. But the workers are alive: they
    are about to renew, or to store the states of the builds that they had to stop.

    Args:
        settle: how long after a gap the database counts as stable again.
        slow_after_s: a statement that takes longer than this also counts as a gap.
    """

    settle: timedelta
    slow_after_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    _gap_at: float | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Record a gap if the block raises or takes too long."""
        begun = self.clock()
        try:
            yield
        except BaseException:
            self._gap_at = self.clock()
            raise
        if self.clock() - begun > self.slow_after_s:
            self._gap_at = self.clock()

    def is_stable(self) -> bool:
        """Return whether there was no gap within the time ``settle``."""
        return self._gap_at is None or self.clock() - self._gap_at >= self.settle.total_seconds()
