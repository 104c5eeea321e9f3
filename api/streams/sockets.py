"""Websockets that only send: each ends when the client has gone or does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from api.errors import ApiError, answer_to

SEND_S = 30.0  #: how long a client may leave its socket full
GOING_AWAY = 1012  #: "service restart": the client should connect again


async def deny(websocket: WebSocket, error: ApiError) -> None:
    """Answer the upgrade with an error; clients read at most 1 KiB of it."""
    await websocket.send_denial_response(answer_to(error))


async def send_text(websocket: WebSocket, text: str) -> None:
    """Send one message.

    Raises:
        TimeoutError: the client does not read.
    """
    await asyncio.wait_for(websocket.send_text(text), SEND_S)


async def send_until_gone(websocket: WebSocket, sending: Coroutine[Any, Any, None]) -> None:
    """Accept the websocket, and send until everything is sent or the client has gone."""
    await websocket.accept()
    sender = asyncio.ensure_future(_forgiving(sending))
    watcher = asyncio.ensure_future(_until_gone(websocket))
    try:
        await asyncio.wait({sender, watcher}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sender, watcher):
            task.cancel()
        await asyncio.gather(sender, watcher, return_exceptions=True)


async def _forgiving(sending: Coroutine[Any, Any, None]) -> None:
    # A client that has gone, or that does not read, ends this.
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        await sending


async def _until_gone(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
