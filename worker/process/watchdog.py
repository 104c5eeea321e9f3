"""Notice that this worker gets no doorbells although jobs wait for it, and end it.

Celery's consumer is known to stall after some reconnects: the process lives, answers nothing
and consumes nothing. The row of a waiting job tells, independently of Celery. Ended is only who
could work: a broker that is away is no reason, or an outage would restart every worker at once.
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
"""EX_TEMPFAIL: start me again."""

TIME = struct.Struct("d")


class Pulse:
    """When a doorbell last reached one of this worker's processes.

    Memory that forked children share with their parent. To be made before the fork. The
    monotonic clock is the same in all of them.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, TIME.size)

    def beat(self) -> None:
        """Note that a doorbell has come."""
        TIME.pack_into(self._memory, 0, time.monotonic())

    @property
    def last(self) -> float:
        """When the last one came, by ``time.monotonic``; 0 when none has."""
        return float(TIME.unpack_from(self._memory)[0])


@dataclass(kw_only=True)
class Watchdog:
    """Looks at intervals of a fraction of ``limit``.

    Args:
        limit: how long jobs may wait unclaimed while a slot is free.
        slots: how many builds this worker runs at once.
        look: what waits, and how many slots are taken; may raise when the database is away.
        last_doorbell: when one came, by the clock.
        broker_answers: whether the broker is there. Asked only when all else points to a stall.
        bark: ends the worker.
    """

    limit: timedelta
    slots: int
    look: Callable[[], WaitingWork]
    last_doorbell: Callable[[], float]
    is_draining: Callable[[], bool]
    broker_answers: Callable[[], bool]
    bark: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    _stalled_since: float | None = None
    _has_barked: bool = False

    def check(self) -> None:
        """Take one look; bark once if this worker has been stalled for the whole limit."""
        if self._has_barked or self.is_draining() or not self._could_work():
            self._stalled_since = None
            return
        now = self.clock()
        since = self._stalled_since
        self._stalled_since = now if since is None else max(since, self.last_doorbell())
        if now - self._stalled_since < self.limit.total_seconds():
            return
        log.error("worker.stalled", seconds=round(now - self._stalled_since, 1))
        self._has_barked = True
        self.bark()

    def _could_work(self) -> bool:
        work = self.look()
        return work.waiting > 0 and work.held < self.slots and self.broker_answers()
