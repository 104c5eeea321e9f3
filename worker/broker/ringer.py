"""Rings doorbells for callers that must not wait, such as a web server after its commit.

A daemon thread, started by the first doorbell, does all that touches the network. What it cannot
ring is dropped: the build is accepted all the same, and a worker's sweeper rings later.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache, partial
from queue import Full, Queue

from worker.broker.address import find_redis_url
from worker.broker.client import BrokerClient
from worker.broker.doorbell import Ring

# Not structlog: it is not configured in a caller's process, and would print to standard output.
log = logging.getLogger("worker")

CAPACITY = 1000
"""How many doorbells may wait for the thread; further ones are dropped."""
REST_S = 5.0
"""How long nothing is tried after a failure."""
FLUSH_S = 2.0
"""How long the end of the interpreter waits for doorbells that were not rung yet."""
LINES = 8
"""How many brokers one process may ring; almost all have one."""


def ring_later(redis_url: str | None = None) -> Ring:
    """Return a function that hands doorbells to this process's thread, and never waits.

    Args:
        redis_url: the broker; when None, it is found by ``find_redis_url`` at each attempt.
    """

    def ring(queue: str) -> bool:
        return _ringer_of(os.getpid()).ring(queue, redis_url)

    return ring


@lru_cache(maxsize=1)
def _ringer_of(_pid: int) -> Ringer:
    # By process id: a thread does not live on in a forked child, and a lock may stay locked.
    return Ringer()


class Ringer:
    """The doorbells of one process and the thread that rings them."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._waiting: Queue[Callable[[], object]] = Queue(CAPACITY)
        self._lines: dict[str | None, Line] = {}
        self._starting = threading.Lock()
        self._is_started = False

    def ring(self, queue: str, redis_url: str | None = None) -> bool:
        """Let the queue be rung soon; return whether the doorbell was taken."""
        try:
            self._start()
            self._waiting.put_nowait(partial(self._ring, redis_url, queue))
        except (Full, RuntimeError):  # RuntimeError: the interpreter ends and starts no thread
            return False
        return True

    def flush(self, within_s: float) -> bool:
        """Wait until all doorbells so far were tried; return whether that came in time."""
        until = time.monotonic() + within_s
        done = threading.Event()
        try:
            self._waiting.put(done.set, timeout=within_s)
        except Full:
            return False
        return done.wait(max(0.0, until - time.monotonic()))

    def _start(self) -> None:
        with self._starting:
            if self._is_started:
                return
            threading.Thread(target=self._run, name="provisionerd-doorbells", daemon=True).start()
            self._is_started = True
            atexit.register(self._flush_at_exit)

    def _flush_at_exit(self) -> None:
        if os.getpid() == self._pid:  # a forked child inherits what its parent registered
            self.flush(FLUSH_S)

    def _run(self) -> None:
        while True:
            self._waiting.get()()

    def _ring(self, redis_url: str | None, queue: str) -> None:
        line = self._lines.get(redis_url)
        if line is None:
            if len(self._lines) >= LINES:
                self._lines.pop(next(iter(self._lines)))
            line = self._lines[redis_url] = Line(redis_url)
        line.ring(queue)


class NoBrokerError(Exception):
    """No broker is configured, and none runs in the data directory."""


class Line:
    """The connection to one broker, given a rest after each failure.

    Args:
        redis_url: the broker; when None, it is looked for whenever there is no connection.
    """

    def __init__(
        self, redis_url: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis_url = redis_url
        self._clock = clock
        self._client: BrokerClient | None = None
        self._rests_until = 0.0
        self._was_told = False

    def ring(self, queue: str) -> bool:
        """Ring the queue unless the line rests; return whether the broker took the doorbell."""
        if self._clock() < self._rests_until:
            return False
        try:
            self._open().publish(queue)
        except Exception as error:  # noqa: BLE001 - nobody is there to hear it, and none is fatal
            self._rest(error)
            return False
        self._was_told = False
        return True

    def _open(self) -> BrokerClient:
        if self._client is None:
            redis_url = self._redis_url or find_redis_url()
            if redis_url is None:
                raise NoBrokerError(
                    "there is no Redis: PROVISIONERD_REDIS_URL is not set, no redis_url was given,"
                    " and none runs in the data directory"
                )
            self._client = BrokerClient(redis_url)
        return self._client

    def _rest(self, error: Exception) -> None:
        """Try nothing for a while; log one line for each outage."""
        self._client = None
        self._rests_until = self._clock() + REST_S
        if self._was_told:
            return
        self._was_told = True
        log.warning(
            "builds are accepted, but no worker is woken for them; the sweeper of a worker finds"
            " them within seconds (%s)",
            error,
        )
