"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, limit_s: float, tick_s: float = 0.05) -> bool:
    """Wait until the condition holds, and return whether it does.

    Args:
        limit_s: maximum wait in seconds; the condition is checked at least once.
        tick_s: the pause between two checks.
    """
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(tick_s)
    return True
