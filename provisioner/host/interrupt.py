"""Asking a running build to end, and when its process is to be killed."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from enum import StrEnum


class InterruptReason(StrEnum):
    """Why a running build was told to end before its time."""

    CANCEL = "cancel"  #: somebody asked for it
    DRAIN = "drain"  #: the worker shuts down and its drain time is over
    LEASE_LOST = "lease_lost"  #: another attempt holds the job, or the lease can not be renewed
    DEADLINE = "deadline"  #: the stage took longer than its setting allows


class Interrupt:
    """Ask a running build to end.

    The first reason given stands, but a lost lease stands above any other: then nothing may be
    written, whatever else was wanted. A lease that is not extended in time is lost by itself,
    at the next look: nothing that hangs, and no pause of the whole process, can hide it.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._reason: InterruptReason | None = None
        self._kill_at: float | None = None
        self._fence_at: float | None = None
        self._fence_grace: timedelta | None = None

    @property
    def reason(self) -> InterruptReason | None:
        """Why the build is to end, or None while it may go on."""
        self._look_at_fence()
        return self._reason

    def may_write(self) -> bool:
        """Return whether the lease may still be held, so that writes are worth trying again."""
        return self.reason is not InterruptReason.LEASE_LOST

    @property
    def kill_at(self) -> float | None:
        """When a process that has not ended is to be killed, by ``time.monotonic``.

        None leaves it to the engine's own grace.
        """
        return self._kill_at

    def request(self, reason: InterruptReason, *, grace: timedelta | None = None) -> bool:
        """Ask for the end; return whether the reason stands.

        Args:
            grace: how long the engine's process may take from now on. The shortest one given
                counts.
        """
        with self._lock:
            if grace is not None:
                kill_at = time.monotonic() + grace.total_seconds()
                self._kill_at = min(kill_at, self._kill_at or kill_at)
            if self._reason is None or reason is InterruptReason.LEASE_LOST:
                self._reason = reason
            self._event.set()
            return self._reason is reason

    def extend(self, fence_at: float, *, grace: timedelta) -> None:
        """Let the lease hold until ``fence_at``, by ``time.monotonic``.

        Args:
            grace: how long the engine's process may take once the lease is lost.
        """
        with self._lock:
            self._fence_at, self._fence_grace = fence_at, grace

    def is_set(self) -> bool:
        """Return whether the build is to end."""
        self._look_at_fence()
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most ``timeout_s`` seconds for a request; return whether there is one."""
        end = time.monotonic() + timeout_s
        fence_at = self._fence_at
        while fence_at is not None and fence_at < end and not self._event.is_set():
            self._event.wait(max(0.0, fence_at - time.monotonic()))
            self._look_at_fence()
            fence_at = self._fence_at
        return self._event.wait(max(0.0, end - time.monotonic()))

    def _look_at_fence(self) -> None:
        fence_at = self._fence_at
        if fence_at is None or time.monotonic() < fence_at:
            return
        if self._reason is not InterruptReason.LEASE_LOST:
            self.request(InterruptReason.LEASE_LOST, grace=self._fence_grace)
