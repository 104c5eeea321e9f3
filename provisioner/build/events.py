"""The events that the runner reports while it works. A listener turns them into metrics."""

from __future__ import annotations

from typing import Protocol

from db.schema.enums import Stage
from quota.commit import QuotaDecision


class BuildEvents(Protocol):
    """Listen to a running build. Called from the build's threads; must not block or raise."""

    def stage_finished(self, stage: Stage, seconds: float) -> None:
        """Take the duration of a step, whether it succeeded or not."""
        ...

    def quota_decided(self, decision: QuotaDecision, daily_cost: int) -> None:
        """Take the decision of the quota commit."""
        ...

    def checkpoint_finished(self, *, stored: bool) -> None:
        """Take whether a state that changed during apply was stored."""
        ...

    def log_write_failed(self) -> None:
        """Take that a try to store log lines failed, whether it is repeated or not."""
        ...

    def logs_finished(self, *, stored: int, dropped: int) -> None:
        """Take how many log lines of the build were kept, and how many were left out."""
        ...


class NoEvents:
    """Listen to nothing."""

    def stage_finished(self, stage: Stage, seconds: float) -> None:
        """Ignore it."""

    def quota_decided(self, decision: QuotaDecision, daily_cost: int) -> None:
        """Ignore it."""

    def checkpoint_finished(self, *, stored: bool) -> None:
        """Ignore it."""

    def log_write_failed(self) -> None:
        """Ignore it."""

    def logs_finished(self, *, stored: int, dropped: int) -> None:
        """Ignore it."""
