"""How long the server waits for a client: for the head of a request, for its body, and to read.

A client that sends half a request, or that reads nothing of its answer, would otherwise hold a
connection for as long as it likes.
"""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 15.0  #: for the whole head of a request
CHUNK_S = 30.0  #: for the next part of a body, and for the client to read what was sent


async def end_idle(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """End a request whose client neither sends nor reads."""
    has_more = True

    async def receive_soon() -> Message:
        nonlocal has_more
        if not has_more:
            return await receive()  # waits for the client to go, which may take long
        try:
            message = await asyncio.wait_for(receive(), CHUNK_S)
        except TimeoutError as error:
            raise HTTPException(
                408, "The body did not arrive in time.", headers={"Connection": "close"}
            ) from error
        has_more = message.get("more_body", False)
        return message

    async def send_soon(message: Message) -> None:
        await asyncio.wait_for(send(message), CHUNK_S)

    await app(scope, receive_soon, send_soon)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 that gives up on a client whose request has no end."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on waiting unless the request is complete."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self.timeout_keep_alive_task is None:
            self._wait_for_head()

    def handle_websocket_upgrade(self, event: object) -> None:
        """Leave the connection to the protocol of websockets."""
        super().handle_websocket_upgrade(event)  # type: ignore[arg-type]
        self._stop_waiting()
        self._head_timer = self.loop.call_later(0, _nothing)

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def _nothing() -> None:
    """Take the place of a timer that must not be started again."""
