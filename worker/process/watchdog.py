"""Ends this worker if it gets no doorbells although jobs wait for it.

Celery's consumer is known to stall after some reconnects: the process lives, but consumes
nothing. The rows of pending jobs show this independently of Celery. Only a worker that could work
is ended: if the broker is away it is not, or an outage would restart every worker at once.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from db.reads.queues import WaitingWork

log = structlog.get_logger("worker")

EXIT_STATUS = 75
"""EX_TEMPFAIL: the supervisor should start the worker again."""

TIME = struct.Struct("d")


class LastDoorbell:
    """The time when a doorbell last reached one of this worker's processes.

    It is memory that forked children share with their parent: create it before the fork. The
    monotonic clock is the same in all of them.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, TIME.size)

    def record(self) -> None:
        """Record that a doorbell came now."""
        TIME.pack_into(self._memory, 0, time.monotonic())

    @property
    def at(self) -> float:
        """The time of the last doorbell by ``time.monotonic``, or 0 if none came."""
        return float(TIME.unpack_from(self._memory)[0])


@dataclass(kw_only=True)
class Watchdog:
    """Detects a stalled worker; call ``check`` several times within ``limit``.

    Args:
        limit: how long jobs may wait unclaimed while a slot is free.
        slots: the number of builds that this worker runs at once.
        read_work: returns the waiting jobs and the slots in use; may raise if the database is away.
        last_doorbell: returns the time of the last doorbell, by the clock.
        broker_answers: returns whether the broker answers; called only if jobs wait for free slots.
        end_worker: ends the worker.
    """

    limit: timedelta
    slots: int
    read_work: Callable[[], WaitingWork]
    last_doorbell: Callable[[], float]
    is_draining: Callable[[], bool]
    broker_answers: Callable[[], bool]
    end_worker: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    _stalled_since: float | None = None
    _has_ended: bool = False

    def check(self) -> None:
        """End the worker, once, if it has been stalled for the whole limit."""
        if self._has_ended or self.is_draining() or not self._could_work():
            self._stalled_since = None
            return
        stalled_s = self._stalled_seconds()
        if stalled_s < self.limit.total_seconds():
            return
        log.error("worker.stalled", seconds=round(stalled_s, 1))
        self._has_ended = True
        self.end_worker()

    def _stalled_seconds(self) -> float:
        now = self.clock()
        since = self._stalled_since
        self._stalled_since = now if since is None else max(since, self.last_doorbell())
        return now - self._stalled_since

    def _could_work(self) -> bool:
        work = self.read_work()
        return work.waiting > 0 and work.held < self.slots and self.broker_answers()
