"""The changes of one thing for a client of Coder, by server-sent events or by websocket.

Coder's reader of events is strict: each event is a line ``event: `` and, but for a ping, a line
``data: ``. A message of the websocket is ``{"type": ..., "data": ...}``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool

from api.errors import ApiError, as_api_error, message_of
from api.streams.hub import Hub
from api.streams.sockets import GOING_AWAY, send_text, send_until_gone
from api.streams.sse import stream_events

if TYPE_CHECKING:
    from starlette.responses import StreamingResponse
    from starlette.websockets import WebSocket

PING_S = 15.0
POLL_S = 1.0  #: the start of a job makes no event


class Event(NamedTuple):
    """What a watcher gets: a ping, the thing itself, or the error that ends the stream."""

    kind: str
    json: str = ""

    def as_event(self) -> str:
        """Return it in the form of a server-sent event."""
        return f"event: {self.kind}\n" + (f"data: {self.json}\n\n" if self.json else "\n")

    def as_message(self) -> str:
        """Return it in the form of a message of a websocket."""
        return f'{{"type":"{self.kind}","data":{self.json or "null"}}}'


def watch(hub: Hub, read: Callable[[], str], *, release: Callable[[], object]) -> StreamingResponse:
    """Return the thing at once and after each change, until the client or the server closes.

    Args:
        read: returns the thing as JSON. It checks the client's token again.
        release: called at the end of the stream.
    """

    async def events() -> AsyncIterator[str]:
        async with aclosing(_events(hub, read)) as found:
            async for event in found:
                yield event.as_event()

    return stream_events(events(), release=release)


async def send_changes(websocket: WebSocket, hub: Hub, read: Callable[[], str]) -> None:
    """Send what ``watch`` returns over a websocket, which has not been accepted yet."""
    await send_until_gone(websocket, _send(websocket, hub, read))


async def _send(websocket: WebSocket, hub: Hub, read: Callable[[], str]) -> None:
    kind = ""
    async for event in _events(hub, read):
        kind = event.kind
        await send_text(websocket, event.as_message())
    await websocket.close(1000 if kind == "error" else GOING_AWAY)


async def _events(hub: Hub, read: Callable[[], str]) -> AsyncGenerator[Event]:
    shown = ""
    pinged = time.monotonic()
    with hub.woken_by_events() as woken:
        yield Event("ping")
        while not hub.is_closed:
            woken.clear()
            try:
                current = await run_in_threadpool(read)
            except Exception as error:  # noqa: BLE001 - the client is told why, and asks again
                answer = error if isinstance(error, ApiError) else as_api_error(error)
                yield Event("error", message_of(answer).model_dump_json())
                return
            if current != shown:
                shown = current
                yield Event("data", current)
            if time.monotonic() - pinged >= PING_S:
                pinged = time.monotonic()
                yield Event("ping")
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), POLL_S)
