"""The log of a job for one client: by websocket as Coder sends it, or by server-sent events."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.websockets import WebSocket, WebSocketDisconnect

from api.errors import ApiError, answer_to
from api.streams.feed import HubClosedError
from api.streams.hub import Hub
from api.streams.sse import COMMENT, COMMENT_S, stream_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import StreamingResponse

SEND_S = 30.0  #: how long a client may leave its socket full
GOING_AWAY = 1012  #: "service restart": the client should connect again


async def deny(websocket: WebSocket, error: ApiError) -> None:
    """Answer the upgrade with an error; clients read at most 1 KiB of it."""
    await websocket.send_denial_response(answer_to(error))


async def send_log(websocket: WebSocket, hub: Hub, job_id: uuid.UUID, *, after: int) -> None:
    """Send each line as a message, then close with 1000 when the job has ended.

    The websocket has not been accepted yet.
    """
    await websocket.accept()
    sender = asyncio.ensure_future(_send(websocket, hub, job_id, after))
    watcher = asyncio.ensure_future(_until_gone(websocket))
    try:
        await asyncio.wait({sender, watcher}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sender, watcher):
            task.cancel()
        await asyncio.gather(sender, watcher, return_exceptions=True)


async def _send(websocket: WebSocket, hub: Hub, job_id: uuid.UUID, after: int) -> None:
    # A client that has gone, or that does not read, ends this.
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        try:
            async for lines in hub.follow(job_id, after=after):
                for line in lines:
                    await asyncio.wait_for(websocket.send_text(line.json), SEND_S)
        except HubClosedError as closed:
            await websocket.close(GOING_AWAY, str(closed))
        else:
            await websocket.close(1000, "done")


async def _until_gone(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass


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
