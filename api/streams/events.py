"""Events for one client, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api.streams.hub import Hub
from api.streams.sse import COMMENT, COMMENT_S, stream_events
from db.outage import is_outage
from db.reads.events import Event, EventCursor

SETTLE_S = 0.2  #: an event may have to wait for transactions that began before its own
POLL_S = 2.0

ReadEvents = Callable[[EventCursor], Sequence[Event]]
"""Returns the next events that the client may see. It checks the client's token again."""


def event_stream(
    hub: Hub, read: ReadEvents, *, after: EventCursor, release: Callable[[], object]
) -> StreamingResponse:
    """Return events as they are committed, until the client or the server closes.

    Args:
        release: called at the end of the stream.
    """
    return stream_events(_lines(hub, read, after), release=release)


async def _lines(hub: Hub, read: ReadEvents, after: EventCursor) -> AsyncIterator[str]:
    quiet_s = 0.0
    with hub.woken_by_events() as woken:
        yield f": events after {after}\n\n"
        while not hub.is_closed:
            was_woken = woken.is_set()
            woken.clear()
            events = await _read(read, after)
            if events is None:
                return
            for event in events:
                after = EventCursor.parse(event.id)
                yield f"id: {event.id}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
            if events:
                quiet_s = 0.0
                continue
            pause_s = SETTLE_S if was_woken else POLL_S
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), pause_s)
            quiet_s += pause_s
            if quiet_s >= COMMENT_S:
                quiet_s = 0.0
                yield COMMENT


async def _read(read: ReadEvents, after: EventCursor) -> Sequence[Event] | None:
    """Return the next events; None if the client has lost its access."""
    try:
        return await run_in_threadpool(read, after)
    except Exception as error:  # noqa: BLE001 - the client connects again, and is told why
        if is_outage(error):
            await asyncio.sleep(SETTLE_S)
            return []
        return None
