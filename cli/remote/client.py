"""Requests to the API, and its answers: bounded in time and size, checked, and never redirected.

It uses only the standard library, so that a command starts fast.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from cli.remote.errors import (
    ChangeCutOffError,
    CutOffError,
    ForeignAnswerError,
    UnreachableError,
    certificate_text,
    error_of,
    explaining,
    reason_of,
)
from cli.remote.server import Server

HEADER = "Coder-Session-Token"
CONNECT_S = 10.0
ANSWER_S = 60.0  #: until the next part of an answer; a statement of the server takes at most 30
WHOLE_S = 600.0  #: for a whole answer
MAX_ANSWER_BYTES = 64 * 1024**2
MAX_ERROR_BYTES = 64 * 1024
MAX_LINE_BYTES = 4 * 1024**2  #: of a stream
CHUNK_BYTES = 64 * 1024
Query = Mapping[str, Any]
"""The parameters of a query; those that are None are left out, and a list is repeated."""


def route(*parts: object) -> str:
    """Return the path of a route of ``/api/v2``; what is in a part cannot change the route."""
    return "/api/v2/" + "/".join(quote(str(part), safe="") for part in parts)


@dataclass(frozen=True, kw_only=True)
class Client:
    """Asks one server. Each request has a connection of its own."""

    server: Server

    def get(self, path: str, query: Query | None = None) -> Any:
        """Return the JSON document of a route. Errors are those of ``ask``."""
        return self.ask("GET", path, query=query)

    def ask(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> Any:
        """Send a request, with ``body`` as JSON, and return the JSON document of the answer.

        Returns:
            None for an answer without a body.

        Raises:
            RequestError: the server refused the request; the class is that of the same refusal
                by the database path.
            ServerError: there was no answer, or it was another one than success.
        """
        data = None if body is None else json.dumps(body).encode()
        answer = self.send(method, path, query=query, data=data)
        return decoded(answer, self.server.url) if answer else None

    def upload(self, path: str, data: bytes, *, media: str) -> Any:
        """Send bytes of a type, and return the JSON document. Errors are those of ``ask``."""
        return decoded(self.send("POST", path, data=data, media=media), self.server.url)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        data: bytes | None = None,
        media: str = "application/json",
        limit: int = MAX_ANSWER_BYTES,
    ) -> bytes:
        """Send a request and return the body of the answer. Errors are those of ``ask``.

        Args:
            data: the body of the request.
            media: its type.
            limit: how many bytes the answer may have.
        """
        url = self.server.url
        try:
            with self._answer(method, path, query, data, media) as answer, explaining(url):
                return _whole(answer, limit, url)
        except CutOffError as error:
            if method == "GET":
                raise
            raise ChangeCutOffError(url, error.reason) from error

    @contextmanager
    def lines(self, path: str, query: Query | None = None) -> Iterator[Iterator[bytes]]:
        """Yield the lines of an answer that arrives over time. Errors are those of ``ask``.

        The server must send something, such as an empty line, at least every ``ANSWER_S``.
        """
        with self._answer("GET", path, query, None, "") as answer:
            yield _lines(answer, self.server.url)

    @contextmanager
    def _answer(
        self, method: str, path: str, query: Query | None, data: bytes | None, media: str
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; yield the answer if it is a success."""
        url = self.server.url
        connection = self._connected()
        try:
            target, head = self._target(path, query), self._head(media)
            with explaining(url):
                connection.request(method, target, body=data, headers=head)
                answer = connection.getresponse()
                if answer.status // 100 != 2:
                    body = answer.read(MAX_ERROR_BYTES)
                    raise error_of(url, answer.status, body, answer.headers)
            yield answer
        finally:
            connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        server = self.server
        connection = (
            http.client.HTTPSConnection(
                server.host, server.port, timeout=CONNECT_S, context=ssl.create_default_context()
            )
            if server.scheme == "https"
            else http.client.HTTPConnection(server.host, server.port, timeout=CONNECT_S)
        )
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise UnreachableError(server.url, certificate_text(error)) from error
        except (OSError, UnicodeError) as error:
            raise UnreachableError(server.url, reason_of(error)) from error
        assert isinstance(connection.sock, socket.socket)
        connection.sock.settimeout(ANSWER_S)
        return connection

    def _target(self, path: str, query: Query | None) -> str:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self.server.path + path + (f"?{urlencode(given, doseq=True)}" if given else "")

    def _head(self, media: str) -> dict[str, str]:
        head = {HEADER: self.server.token, "Accept": "application/json", "Connection": "close"}
        return {**head, "Content-Type": media} if media else head


def decoded(answer: bytes, url: str) -> Any:
    """Return the JSON document of an answer.

    Raises:
        ForeignAnswerError: it is not one.
    """
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ForeignAnswerError(url, "the answer is not JSON") from error


def _whole(answer: http.client.HTTPResponse, limit: int, url: str) -> bytes:
    parts, size, end = [], 0, time.monotonic() + WHOLE_S
    while part := answer.read1(CHUNK_BYTES):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise ForeignAnswerError(url, f"the answer has more than {limit // 1024**2} MiB")
        if time.monotonic() > end:
            raise CutOffError(url, "the answer takes too long")
    if answer.length:  # bytes that were announced and did not arrive
        raise CutOffError(url, "the answer is not complete")
    return b"".join(parts)


def _lines(answer: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    while line := _line(answer, url):
        yield line


def _line(answer: http.client.HTTPResponse, url: str) -> bytes:
    with explaining(url):
        line = answer.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise ForeignAnswerError(url, "a line of the answer is too long")
    return line
