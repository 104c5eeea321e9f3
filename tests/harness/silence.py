"""A server that takes connections and never answers, as a stopped Redis does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from worker.broker import client
from worker.broker.transport import TRANSPORT_OPTIONS


class SilentServer:
    """Listens on the loopback interface until it is closed; notes who came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def close(self) -> None:
        """Hang up on everybody."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)


@contextmanager
def silent_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentServer]:
    """A broker that does not answer, for clients whose patience is longer than any test."""
    patient = {**TRANSPORT_OPTIONS, "socket_timeout": 600, "socket_connect_timeout": 600}
    monkeypatch.setattr(client, "TRANSPORT_OPTIONS", patient)
    server = SilentServer()
    try:
        yield server
    finally:
        server.close()
