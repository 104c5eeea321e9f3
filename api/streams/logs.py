"""The log of a job for one client: by websocket as Coder sends it, or by server-sent events."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from api.errors import ApiError
from api.streams.feed import HubClosedError
from api.streams.hub import Hub
from api.streams.sockets import GOING_AWAY, send_text, send_until_gone
from api.streams.sse import COMMENT, COMMENT_S, stream_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.websockets import WebSocket


async def send_log(websocket: WebSocket, hub: Hub, job_id: uuid.UUID, *, after: int) -> None:
    """Send each line as a message, then close with 1000 when the job has ended.

    The websocket has not been accepted yet.
    """
    await send_until_gone(websocket, _send(websocket, hub, job_id, after))


async def _send(websocket: WebSocket, hub: Hub, job_id: uuid.UUID, after: int) -> None:
    try:
        async for lines in hub.follow(job_id, after=after):
            for line in lines:
                await send_text(websocket, line.json)
    except HubClosedError as closed:
        await websocket.close(GOING_AWAY, str(closed))
    else:
        await websocket.close(1000, "done")


def log_events(
    hub: Hub, job_id: uuid.UUID, *, after: int, release: Callable[[], object]
) -> StreamingResponse:
    """Return the log as server-sent events; ``id`` is that of the line, so clients can resume.

    Args:
        release: called at the end of the stream.
    """
    return stream_events(_events(hub, job_id, after), release=release)


async def _events(hub: Hub, job_id: uuid.UUID, after: int) -> AsyncIterator[str]:
    lines = hub.follow(job_id, after=after).__aiter__()
    waiting = asyncio.ensure_future(anext(lines, None))
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=COMMENT_S)
            if not done:
                yield COMMENT
                continue
            batch = waiting.result()
            if batch is None:
                yield "event: done\ndata: {}\n\n"
                return
            for line in batch:
                yield f"id: {line.id}\nevent: log\ndata: {line.json}\n\n"
            waiting = asyncio.ensure_future(anext(lines, None))
    except HubClosedError:
        return  # without "done", so the client connects again
    finally:
        waiting.cancel()


def resume_point(request: Request, after: int) -> int:
    """Return the id of the last line that the client has, from ``Last-Event-ID`` or ``after``.

    Raises:
        ApiError: ``Last-Event-ID`` is not the id of a line.
    """
    given = request.headers.get("Last-Event-ID", "")
    if not given:
        return after
    if not given.isascii() or not given.isdigit() or len(given) > 18:  # fits into 64 bits
        raise ApiError(400, "Last-Event-ID must be the id of a line.")
    return int(given)
