"""Counts consecutive failures, so that only the first one and the recovery are logged."""

from __future__ import annotations

import threading


class Streak:
    """Consecutive failures of one operation. Thread-safe.

    The caller logs when ``fail`` returns True, and when ``end`` returns more than 0.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0

    def fail(self) -> bool:
        """Count a failure; return whether it is the first of its streak."""
        with self._lock:
            self._failures += 1
            return self._failures == 1

    def end(self) -> int:
        """Record a success; return the number of failures before it."""
        with self._lock:
            failures, self._failures = self._failures, 0
            return failures
