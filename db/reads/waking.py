"""Waits for jobs that end as soon as the job changes, instead of at the next poll."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from db.engine import Database
from db.jobs.notices import CHANNEL
from db.reads.follow import Pace
from db.reads.listener import Listener

FIRST_POLL_S = 0.05  #: a short build ends before the second poll of a slow pace
FALLBACK_S = 5.0  #: between polls when notices arrive: one may be missed


class AbandonedError(Exception):
    """Nobody wants the answer any more."""


class Waker:
    """The watches of a process. The listener for notices of PostgreSQL calls ``heard``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)
        self._is_closed = False
        self.is_pushed = False  #: whether notices arrive

    def add(self, job_id: uuid.UUID, watch: Watch) -> None:
        """Wake the watch from now on whenever the job may have changed."""
        with self._lock:
            self._watches[str(job_id)].add(watch)
            is_closed = self._is_closed
        if is_closed:
            watch.abandon()

    def remove(self, job_id: uuid.UUID, watch: Watch) -> None:
        """Forget what ``add`` was told."""
        with self._lock:
            watches = self._watches[str(job_id)]
            watches.discard(watch)
            if not watches:
                del self._watches[str(job_id)]

    def heard(self, channel: str, payload: str) -> None:
        """Wake those who wait for the job that a notice names."""
        if channel == CHANNEL:
            with self._lock:
                watches = list(self._watches.get(payload, ()))
            for watch in watches:
                watch.wake()

    def lost(self) -> None:
        """Wake all: notices may have been missed."""
        for watch in self._all():
            watch.wake()

    def close(self) -> None:
        """End all waits by an error, now and from now on: the process shuts down."""
        with self._lock:
            self._is_closed = True
        for watch in self._all():
            watch.abandon()

    def _all(self) -> list[Watch]:
        with self._lock:
            return [watch for found in self._watches.values() for watch in found]


class Watch:
    """The waits of one call, which wants one job after the other to end.

    Args:
        waker: wakes it; None: it only polls.
    """

    def __init__(self, waker: Waker | None = None) -> None:
        self._waker = waker
        self._changed = threading.Event()
        self._is_abandoned = False

    @contextmanager
    def over(self, job_id: uuid.UUID) -> Iterator[None]:
        """Be woken when the job may have changed, within the block."""
        if self._waker is None:
            yield
            return
        self._waker.add(job_id, self)
        try:
            yield
        finally:
            self._waker.remove(job_id, self)

    def pace(self, poll_s: float) -> Pace:
        """Return how often to poll in addition to the notices.

        Args:
            poll_s: the longest pause between polls when notices do not arrive, in seconds.
        """
        if self._waker is not None and self._waker.is_pushed:
            pause_s = max(FALLBACK_S, poll_s)
            return Pace(first_pause_s=pause_s, last_pause_s=pause_s)
        return Pace(first_pause_s=min(FIRST_POLL_S, poll_s), last_pause_s=poll_s)

    def wait(self, seconds: float) -> None:
        """Wait until the job may have changed, at most that many seconds.

        Raises:
            AbandonedError: nobody wants the answer any more.
        """
        self._changed.wait(seconds)
        if self._is_abandoned:
            raise AbandonedError
        self._changed.clear()

    def wake(self) -> None:
        """End the wait; the job is read again."""
        self._changed.set()

    def abandon(self) -> None:
        """End the wait by an error, from another thread."""
        self._is_abandoned = True
        self._changed.set()


@contextmanager
def listening(database: Database) -> Iterator[Waker]:
    """Yield a waker that hears notices by a connection of its own, within the block."""
    waker = Waker()

    def lost() -> None:
        waker.is_pushed = listener.is_pushed
        waker.lost()

    listener = Listener(database, channels=(CHANNEL,), heard=waker.heard, lost=lost)
    listener.start()
    try:
        yield waker
    finally:
        listener.stop()
        listener.join()
