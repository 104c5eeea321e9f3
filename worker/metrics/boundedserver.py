"""A small HTTP server for GET that no client can hold up.

A client has a few seconds to send the head of its request, and as long to read the answer. The
number of open connections is limited; one more closes the oldest that still waits for its request,
or else the oldest of all.
So a client that opens thousands of connections keeps nobody from being answered.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

HEAD_S = 5.0
ANSWER_S = 10.0
MAX_HEAD_BYTES = 8 * 1024
MAX_CONNECTIONS = 100
_BACKLOG = 512
_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """The head of a request."""

    path: str
    query: str
    headers: Mapping[str, str]  #: by names in small letters


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer."""

    status: HTTPStatus
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def text_response(status: HTTPStatus, text: str) -> Response:
    """Return an answer of one line."""
    return Response(
        status=status,
        body=f"{text}\n".encode(),
        headers={"Content-Type": "text/plain; charset=utf-8"},
    )


Answer = Callable[[Request], Awaitable[Response]]


class BoundedServer:
    """A server that listens, in a thread of its own.

    Args:
        sock: is bound already; the server closes it.
        answer: answers a request in the server's event loop, so it must not block.
    """

    def __init__(self, sock: socket.socket, answer: Answer) -> None:
        self._socket = sock
        self.port: int = sock.getsockname()[1]
        self._answer = answer
        # The oldest first.
        self._waiting: dict[asyncio.StreamWriter, None] = {}
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        # A child of prefork that outlives this process must not keep the port.
        os.register_at_fork(after_in_child=sock.close)
        self._socket.listen(_BACKLOG)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and close the port."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(ANSWER_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._socket, limit=MAX_HEAD_BYTES)
        await self._stopping.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=ANSWER_S)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            self._forget(next(iter(self._waiting or self._open)))
        self._waiting[writer] = self._open[writer] = None
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await self._handle(reader, writer)
        finally:
            self._forget(writer)

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._waiting.pop(writer, None)
        self._open.pop(writer, None)
        writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
            method, request = _parse(head)
        except asyncio.LimitOverrunError:
            too_large = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            await _send(writer, text_response(too_large, "the head of the request is too large"))
            return
        except ValueError:
            await _send(writer, text_response(HTTPStatus.BAD_REQUEST, "this is not HTTP"))
            return
        self._waiting.pop(writer, None)
        if method not in _METHODS:
            await _send(writer, text_response(HTTPStatus.METHOD_NOT_ALLOWED, "use GET"))
            return
        response = await self._answer(request)
        await _send(writer, response, has_body=method == "GET")


def _parse(head: bytes) -> tuple[str, Request]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    url = urlsplit(target)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _colon, value in pairs}
    return method, Request(path=url.path, query=url.query, headers=headers)


async def _send(writer: asyncio.StreamWriter, response: Response, *, has_body: bool = True) -> None:
    headers = {
        **response.headers,
        "Content-Length": str(len(response.body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {response.status.value} {response.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    # In one piece: two would wait for each other's acknowledgment.
    writer.write(head + (response.body if has_body else b""))
    writer.close()
    # A client that does not read is given up.
    await asyncio.wait_for(writer.wait_closed(), ANSWER_S)
