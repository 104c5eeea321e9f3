"""A clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Clock:
    """Stands still at ``now``, in seconds, until it is set."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
