"""A server that reads one request on each connection and answers with given bytes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.harness.threads import join_thread, start_thread


@dataclass(frozen=True, kw_only=True)
class Canned:
    """Where the server listens, and the requests that came."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def answering(*answers: bytes) -> Iterator[Canned]:
    """A server that gives one answer after the other, then always the last, in the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    made = Canned(port=listener.getsockname()[1])

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            # A client may go before it has read everything.
            with connection, suppress(OSError):
                connection.settimeout(20)
                made.requests.append(_request(connection))
                connection.sendall(answers[min(len(made.requests), len(answers)) - 1])

    thread = start_thread(serve)
    try:
        yield made
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        join_thread(thread)


def answer_of(status: int, body: object, **headers: str) -> bytes:
    """The bytes of an answer with a JSON body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(data)}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*head, "", ""]).encode() + data


def _request(connection: socket.socket) -> bytes:
    taken = b""
    while b"\r\n\r\n" not in taken:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the client has gone")
        taken += part
    head, _, body = taken.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    wanted = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < wanted:
        part = connection.recv(65536)
        taken, body = taken + part, body + part
    return taken
