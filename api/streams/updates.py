"""How one job fares, for a command that follows it: a JSON document a line, until it has ended.

An empty line keeps the connection open while nothing changes.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from api.streams.hub import POLL_S, PUSHED_POLL_S, RETRY_S, Hub
from db.outage import is_outage
from db.reads.follow import Update
from db.reads.waking import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

ReadUpdate = Callable[[int], Update]
"""Returns what has changed after a line of the log. It checks the client's token again."""

_FORM = TypeAdapter(Update)


class LoopWatch(Watch):
    """A watch whose waits are those of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.woken = asyncio.Event()

    def wake(self) -> None:
        """End the wait, from another thread."""
        with suppress(RuntimeError):  # the loop may have been closed since
            self._loop.call_soon_threadsafe(self.woken.set)

    def abandon(self) -> None:
        """End the wait, from another thread: the hub is closed."""
        self.wake()


async def update_lines(
    hub: Hub, read: ReadUpdate, job_id: uuid.UUID, *, after: int, limit_s: float
) -> AsyncIterator[str]:
    """Yield the updates of a job, until it has ended, the time has passed, or the hub closes.

    Args:
        after: the id of the last known line; less than 0 for updates without the log.
        limit_s: how long to follow the job, in seconds.
    """
    end = time.monotonic() + limit_s
    shown = ""
    with _watching(hub, job_id) as woken:
        while not hub.is_closed:
            woken.clear()
            try:
                update = await run_in_threadpool(read, after)
            except Exception as error:  # noqa: BLE001 - the client asks again, and is told why
                if not is_outage(error):
                    return
                yield "\n"
                await asyncio.sleep(RETRY_S)
                continue
            json = _FORM.dump_json(update).decode()
            yield "\n" if json == shown else f"{json}\n"
            shown = json
            if update.lines:
                after = update.lines[-1].id
            left_s = end - time.monotonic()
            if update.is_last or (left_s <= 0 and not update.has_more):
                return
            if not update.has_more:
                pause_s = PUSHED_POLL_S if hub.is_pushed else POLL_S
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), min(pause_s, left_s))


@contextmanager
def _watching(hub: Hub, job_id: uuid.UUID) -> Iterator[asyncio.Event]:
    watch = LoopWatch()
    hub.waker.add(job_id, watch)
    try:
        yield watch.woken
    finally:
        hub.waker.remove(job_id, watch)
