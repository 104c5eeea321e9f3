"""The hub: one reader for each followed job, whatever the number of its followers.

A follower that starts behind the reader, or that reads too slowly, reads from the database itself
until it has caught up. So every follower gets every line once, and a slow one costs no memory.
All methods run in the event loop, except those of the listener.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from api.errors import ApiError
from api.streams.feed import Batch, Feed, Follower, HubClosedError, Line
from db.engine import Database
from db.jobs.events import CHANNEL as EVENTS
from db.jobs.notices import CHANNEL
from db.outage import is_outage
from db.reads.joblog import LogReading, read_log
from db.reads.listener import Listener
from db.reads.waking import Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("api")

PUSHED_POLL_S = 5.0  #: notices may be missed, and older workers do not send them
POLL_S = 0.5  #: when notices do not arrive
OUTAGE_S = 60.0  #: longer than a restart of PostgreSQL
RETRY_S = 0.5


class Hub:
    """All followers of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._feeds: dict[uuid.UUID, Feed] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._streams: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener = Listener(
            database, channels=(CHANNEL, EVENTS), heard=self._heard, lost=self._lost
        )
        self._event_waiters: set[asyncio.Event] = set()
        self.waker = Waker()  #: for threads that wait for a job
        self.is_closed = False
        self.queries = 0  #: how often the readers have asked the database

    @property
    def is_pushed(self) -> bool:
        """Whether notices arrive; if not, this polls."""
        return self._listener.is_pushed

    @property
    def followers(self) -> int:
        """How many clients follow a log now."""
        return sum(len(feed.followers) for feed in self._feeds.values())

    def start(self) -> None:
        """Begin to listen. Called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._listener.start()

    def close(self) -> None:
        """End all streams, so that their clients resume at another process."""
        self.is_closed = True
        self._listener.stop()
        self.waker.close()
        for feed in list(self._feeds.values()):
            for follower in feed.followers:
                follower.fail(HubClosedError("the server shuts down"))
        for reader in self._readers:
            reader.cancel()
        self._wake_events()

    async def join(self) -> None:
        """Wait until the listener of a closed hub has closed its connections."""
        await run_in_threadpool(self._listener.join)

    def close_soon(self) -> None:
        """Close from a signal handler or another thread."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.close)

    def take(self, holder: str, limit: int) -> Callable[[], None]:
        """Count an open stream of a token; return what must be called at its end.

        Raises:
            ApiError: the token has too many.
        """
        if self._streams[holder] >= limit:
            raise ApiError(429, f"This token has {limit} open streams already.")
        self._streams[holder] += 1

        def release() -> None:
            self._streams[holder] -= 1
            if self._streams[holder] <= 0:
                del self._streams[holder]

        return release

    async def follow(self, job_id: uuid.UUID, *, after: int = 0) -> AsyncIterator[Sequence[Line]]:
        """Yield the lines with a higher id than ``after``, until the job has ended.

        Raises:
            HubClosedError: the stream ends before the job; the client may resume.
        """
        if self.is_closed:
            raise HubClosedError("the server shuts down")
        feed = self._feeds.get(job_id)
        follower = Follower(is_behind=feed is not None)
        if feed is None:
            feed = self._open(job_id, after)
        feed.followers.add(follower)
        position = after
        try:
            while True:
                batch = await self._next(job_id, follower, position)
                lines = [line for line in batch.lines if line.id > position]
                if lines:
                    position = lines[-1].id
                    yield lines
                if batch.is_last:
                    return
        finally:
            feed.followers.discard(follower)
            feed.woken.set()

    async def _next(self, job_id: uuid.UUID, follower: Follower, position: int) -> Batch:
        while True:
            if follower.failure:
                raise follower.failure
            if follower.is_behind:
                return await self._catch_up(job_id, follower, position)
            if follower.batches:
                return follower.batches.popleft()
            follower.woken.clear()
            await follower.woken.wait()

    async def _catch_up(self, job_id: uuid.UUID, follower: Follower, position: int) -> Batch:
        # From now on the follower keeps what the reader finds, so it misses nothing that is stored
        # after the snapshot of its own query.
        follower.is_behind = False
        reading = await self._read(job_id, position)
        if reading.has_more:
            follower.fall_behind()
        return Batch.of(reading)

    def _open(self, job_id: uuid.UUID, after: int) -> Feed:
        feed = self._feeds[job_id] = Feed(job_id, cursor=after)
        reader = asyncio.get_running_loop().create_task(self._feed(feed))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        return feed

    async def _feed(self, feed: Feed) -> None:
        try:
            while feed.followers and not feed.is_complete:
                feed.woken.clear()
                reading = await self._read(feed.job_id, feed.cursor)
                self._pass_on(feed, reading)
                if not reading.has_more and not feed.is_complete:
                    await _wait(feed.woken, PUSHED_POLL_S if self.is_pushed else POLL_S)
        except Exception as error:
            failure = error if isinstance(error, HubClosedError) else HubClosedError("a bug")
            for follower in feed.followers:
                follower.fail(failure)
            if failure is not error:
                log.exception("the reader of a log failed")
        finally:
            if self._feeds.get(feed.job_id) is feed:
                del self._feeds[feed.job_id]

    def _pass_on(self, feed: Feed, reading: LogReading) -> None:
        feed.is_complete = reading.is_complete
        if reading.lines:
            feed.cursor = reading.lines[-1].id
        if reading.lines or reading.is_complete:
            batch = Batch.of(reading)
            for follower in feed.followers:
                follower.offer(batch)

    async def _read(self, job_id: uuid.UUID, after: int) -> LogReading:
        until = time.monotonic() + OUTAGE_S
        while True:
            try:
                self.queries += 1
                return await run_in_threadpool(self._read_now, job_id, after)
            except Exception as error:
                if not is_outage(error):
                    raise
                if self.is_closed or time.monotonic() > until:
                    raise HubClosedError("the database is away") from error
            await asyncio.sleep(RETRY_S)

    def _read_now(self, job_id: uuid.UUID, after: int) -> LogReading:
        with self._database.begin() as session:
            return read_log(session, job_id, after=after)

    @contextmanager
    def woken_by_events(self) -> Iterator[asyncio.Event]:
        """Yield what is set whenever an event may have been committed, or the hub closes."""
        woken = asyncio.Event()
        self._event_waiters.add(woken)
        try:
            yield woken
        finally:
            self._event_waiters.discard(woken)

    def _heard(self, channel: str, payload: str) -> None:
        self.waker.heard(channel, payload)
        if self._loop is not None and not self.is_closed:
            with suppress(RuntimeError):
                wake = self._wake_events if channel == EVENTS else partial(self._wake, payload)
                self._loop.call_soon_threadsafe(wake)

    def _lost(self) -> None:
        self.waker.is_pushed = self.is_pushed
        self.waker.lost()
        if self._loop is not None and not self.is_closed:
            # The loop may have been closed since.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_all)

    def _wake(self, payload: str) -> None:
        try:
            feed = self._feeds.get(uuid.UUID(payload))
        except ValueError:
            return
        if feed is not None:
            feed.woken.set()

    def _wake_events(self) -> None:
        for woken in self._event_waiters:
            woken.set()

    def _wake_all(self) -> None:
        self._wake_events()
        for feed in self._feeds.values():
            feed.woken.set()


async def _wait(event: asyncio.Event, limit_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), limit_s)
