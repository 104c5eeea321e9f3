"""The changes of one thing for a client of Coder, as server-sent events in the form of Coder's.

Coder's reader is strict: each event is a line ``event: `` and, but for a ping, a line ``data: ``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api.errors import ApiError, as_api_error, message_of
from api.streams.hub import Hub
from api.streams.sse import stream_events

PING_S = 15.0
POLL_S = 1.0  #: the start of a job makes no event
PING = "event: ping\n\n"


def watch(hub: Hub, read: Callable[[], str], *, release: Callable[[], object]) -> StreamingResponse:
    """Return the thing at once and after each change, until the client or the server closes.

    Args:
        read: returns the thing as JSON. It checks the client's token again.
        release: called at the end of the stream.
    """
    return stream_events(_events(hub, read), release=release)


async def _events(hub: Hub, read: Callable[[], str]) -> AsyncIterator[str]:
    shown = ""
    pinged = time.monotonic()
    with hub.woken_by_events() as woken:
        yield PING
        while not hub.is_closed:
            woken.clear()
            try:
                current = await run_in_threadpool(read)
            except Exception as error:  # noqa: BLE001 - the client is told why, and asks again
                answer = error if isinstance(error, ApiError) else as_api_error(error)
                yield f"event: error\ndata: {message_of(answer).model_dump_json()}\n\n"
                return
            if current != shown:
                shown = current
                yield f"event: data\ndata: {current}\n\n"
            if time.monotonic() - pinged >= PING_S:
                pinged = time.monotonic()
                yield PING
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), POLL_S)
