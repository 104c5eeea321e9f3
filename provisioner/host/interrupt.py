"""Ask a running build to end, and say when its process must be killed."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from enum import StrEnum


class InterruptReason(StrEnum):
    """Why a running build was interrupted."""

    CANCEL = "cancel"  #: the job was canceled
    DRAIN = "drain"  #: the worker shuts down and its drain time is over
    LEASE_LOST = "lease_lost"  #: another attempt holds the job, or the lease cannot be renewed
    DEADLINE = "deadline"  #: the stage took longer than its setting allows


class Interrupt:
    """Ask a running build to end.

    The first reason is kept, but a lost lease replaces any other: then nothing may be written.
    A lease that is not extended in time counts as lost at the next check, so neither a thread
    that hangs nor a pause of the whole process can hide it.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._reason: InterruptReason | None = None
        self._kill_at: float | None = None
        self._drain_is_over = False
        self._fence_at: float | None = None
        self._fence_grace: timedelta | None = None

    @property
    def reason(self) -> InterruptReason | None:
        """Why the build must end, or None while it may go on."""
        self._check_fence()
        return self._reason

    def may_write(self) -> bool:
        """Return whether the lease may still be held, so that a write may be tried again."""
        return self.reason is not InterruptReason.LEASE_LOST

    def may_record(self) -> bool:
        """Return whether the result of an apply that has ended may be written again.

        The fence stops an engine before another worker can take the job. A result is safe without
        it: its lease token makes it fail if it comes too late. So it outlasts every outage, unless
        the worker must end.
        """
        return self.may_write() or not self._drain_is_over

    @property
    def kill_at(self) -> float | None:
        """When a process that has not ended must be killed, by ``time.monotonic``.

        None leaves it to the engine's own grace period.
        """
        return self._kill_at

    def request(self, reason: InterruptReason, *, grace: timedelta | None = None) -> bool:
        """Ask the build to end; return whether ``reason`` is now the reason.

        Args:
            grace: how long the engine's process may take from now on. The shortest grace of all
                requests applies.
        """
        with self._lock:
            if grace is not None:
                kill_at = time.monotonic() + grace.total_seconds()
                self._kill_at = min(kill_at, self._kill_at or kill_at)
            self._drain_is_over |= reason is InterruptReason.DRAIN
            if self._reason is None or reason is InterruptReason.LEASE_LOST:
                self._reason = reason
            self._event.set()
            return self._reason is reason

    def extend(self, fence_at: float, *, grace: timedelta) -> None:
        """Treat the lease as held until ``fence_at``, by ``time.monotonic``.

        Args:
            grace: how long the engine's process may take after the lease is lost.
        """
        with self._lock:
            # Never earlier: the answer to a renewal may come after that to a later one.
            self._fence_at = max(fence_at, self._fence_at or fence_at)
            self._fence_grace = grace

    def confirm(self, fence_at: float) -> bool:
        """Treat a lease as held that the database has just renewed, even if it counted as lost.

        Only between two operations of the engine, since it takes back the order to kill it.

        Args:
            fence_at: until when, by ``time.monotonic``.

        Returns:
            Whether the lease is held; False if ``fence_at`` has passed.
        """
        with self._lock:
            self._fence_at = max(fence_at, self._fence_at or fence_at)
            if time.monotonic() >= self._fence_at:
                return False
            if self._reason is InterruptReason.LEASE_LOST:
                self._reason = InterruptReason.DRAIN if self._drain_is_over else None
                self._kill_at = None
            if self._reason is None:
                self._event.clear()
            return True

    def is_set(self) -> bool:
        """Return whether the build must end."""
        self._check_fence()
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most ``timeout_s`` seconds for a request; return whether there is one."""
        end = time.monotonic() + timeout_s
        fence_at = self._fence_at
        while fence_at is not None and fence_at < end and not self._event.is_set():
            self._event.wait(max(0.0, fence_at - time.monotonic()))
            self._check_fence()
            fence_at = self._fence_at
        return self._event.wait(max(0.0, end - time.monotonic()))

    def _check_fence(self) -> None:
        fence_at = self._fence_at
        if fence_at is None or time.monotonic() < fence_at:
            return
        if self._reason is not InterruptReason.LEASE_LOST:
            self.request(InterruptReason.LEASE_LOST, grace=self._fence_grace)
