"""Waiting for what other threads and processes do, never without a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_S = 60.0
TICK_S = 0.01


class NeverHappenedError(Exception):
    """What a test waited for did not come."""


def wait_until(
    condition: Callable[[], object],
    what: str,
    *,
    within_s: float = DEADLINE_S,
    tick_s: float = TICK_S,
) -> float:
    """Return the seconds until the condition held.

    Raises:
        NeverHappenedError: it did not hold within ``within_s``; the message says ``what``.
    """
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > within_s:
            raise NeverHappenedError(f"waited {within_s:g} seconds for {what}")
        time.sleep(tick_s)
    return time.monotonic() - begun
