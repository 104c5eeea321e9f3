"""Whether the database has answered without a gap for long enough to judge others by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(kw_only=True)
class Contact:
    """Watches statements that are sent at intervals.

    After an outage every lease looks as if its worker were lost. The workers are there: they are
    about to renew, or to store the states of the builds that they had to stop.

    Args:
        settle: how long after a gap the contact counts as settled again.
        patience_s: a statement that takes longer is a gap, too.
    """

    settle: timedelta
    patience_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    _gap_at: float | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note a gap if the block raises or takes too long."""
        begun = self.clock()
        try:
            yield
        except BaseException:
            self._gap_at = self.clock()
            raise
        if self.clock() - begun > self.patience_s:
            self._gap_at = self.clock()

    def is_settled(self) -> bool:
        """Return whether there was no gap lately."""
        return self._gap_at is None or self.clock() - self._gap_at >= self.settle.total_seconds()
