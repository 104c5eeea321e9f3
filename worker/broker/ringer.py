"""Rings doorbells for callers that must not wait, such as a web server after its commit.

A daemon thread, started by the first doorbell, does all network calls. A doorbell that it cannot
ring is dropped: the build is still accepted, and a worker's sweeper rings later.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - redis needs it; it cannot be loaded at exit
import logging
import os
import secrets  # noqa: F401 - redis loads it at the first doorbell, where no fork waits for it
import threading
import time
from collections.abc import Callable
from functools import lru_cache, partial
from queue import Full, Queue
from typing import TYPE_CHECKING

from db.streak import Streak

if TYPE_CHECKING:
    from worker.broker.client import BrokerClient

# Not structlog: in a caller's process it is not configured, and would print to standard output.
log = logging.getLogger("worker")

Ring = Callable[[str], bool]
"""Rings a queue once; returns whether the doorbell was accepted. Never raises."""

CAPACITY = 1000
"""Maximum number of doorbells that wait for the thread; further ones are dropped."""
BACKOFF_S = 5.0
"""How long to wait after a failure before the next attempt."""
FLUSH_S = 2.0
"""How long the end of the interpreter waits for doorbells that were not rung yet."""
MAX_CONNECTIONS = 8
"""Maximum number of brokers that one process rings; almost all processes ring one."""

_loading = threading.Lock()


def ring_later(redis_url: str | None = None) -> Ring:
    """Return a function that passes doorbells to this process's thread, and never waits.

    Args:
        redis_url: the broker; when None, ``find_redis_url`` finds it when a connection is opened.
    """

    def ring(queue: str) -> bool:
        return _ringer_of(os.getpid()).ring(queue, redis_url)

    return ring


def _load_client() -> Callable[[str | None], BrokerClient]:
    """Load Celery, kombu and redis: only for callers that enqueue, and without holding them up.

    Returns ``open_client``.
    """
    with _loading:
        # All but the last would load at the first doorbell, where no fork waits for them.
        import celery.app.amqp  # noqa: PLC0415
        import celery.utils.deprecated  # noqa: F401, PLC0415
        import kombu.transport.redis  # noqa: F401, PLC0415

        from worker.broker.client import open_client  # noqa: PLC0415
    return open_client


@lru_cache(maxsize=1)
def _let_forks_wait() -> None:
    # A child that is forked while a module is loaded can never load that module itself.
    os.register_at_fork(
        before=_loading.acquire, after_in_parent=_loading.release, after_in_child=_loading.release
    )


@lru_cache(maxsize=1)
def _ringer_of(_pid: int) -> Ringer:
    # One per process: a forked child has no copy of the thread, and may inherit a locked lock.
    return Ringer()


class Ringer:
    """The doorbells of one process and the thread that rings them."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._waiting: Queue[Callable[[], object]] = Queue(CAPACITY)
        self._connections: dict[str | None, BrokerConnection] = {}
        self._starting = threading.Lock()
        self._is_started = False

    def ring(self, queue: str, redis_url: str | None = None) -> bool:
        """Ask the thread to ring the queue; return whether the doorbell was accepted."""
        try:
            self._start()
            self._waiting.put_nowait(partial(self._ring, redis_url, queue))
        except (Full, RuntimeError):  # RuntimeError: no thread can start at interpreter exit
            return False
        return True

    def flush(self, within_s: float) -> bool:
        """Wait until all earlier doorbells were tried; return whether they were tried in time."""
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
            _let_forks_wait()
            threading.Thread(target=self._run, name="provisionerd-doorbells", daemon=True).start()
            self._is_started = True
            atexit.register(self._flush_at_exit)

    def _flush_at_exit(self) -> None:
        if os.getpid() == self._pid:  # a forked child inherits its parent's exit handlers
            _load_client()  # on a busy machine it may take longer than FLUSH_S
            self.flush(FLUSH_S)

    def _run(self) -> None:
        while True:
            self._waiting.get()()

    def _ring(self, redis_url: str | None, queue: str) -> None:
        connection = self._connections.get(redis_url)
        if connection is None:
            if len(self._connections) >= MAX_CONNECTIONS:
                self._connections.pop(next(iter(self._connections)))
            connection = self._connections[redis_url] = BrokerConnection(redis_url)
        connection.ring(queue)


class BrokerConnection:
    """The connection to one broker, with a pause after each failure.

    Args:
        redis_url: the broker; when None, ``find_redis_url`` finds it when a connection is opened.
    """

    def __init__(
        self, redis_url: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis_url = redis_url
        self._clock = clock
        self._client: BrokerClient | None = None
        self._paused_until = 0.0
        self._failing = Streak()

    def ring(self, queue: str) -> bool:
        """Ring the queue unless paused; return whether the broker accepted the doorbell."""
        if self._clock() < self._paused_until:
            return False
        try:
            self._open().publish(queue)
        except Exception as error:  # noqa: BLE001 - there is no caller to raise to
            self._pause(error)
            return False
        if failures := self._failing.end():
            log.info("workers are woken for builds again, after %d failures", failures)
        return True

    def _open(self) -> BrokerClient:
        if self._client is None:
            self._client = _load_client()(self._redis_url)
        return self._client

    def _pause(self, error: Exception) -> None:
        """Stop trying for a while; log one line for each outage."""
        self._client = None
        self._paused_until = self._clock() + BACKOFF_S
        if self._failing.fail():
            log.warning(
                "builds are accepted, but no worker is woken for them; the sweeper of a worker"
                " finds them within seconds (%s)",
                error,
            )
