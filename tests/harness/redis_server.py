"""A Redis server that tests may harm."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.waiting import DEADLINE_S, wait_until
from worker.embedded.directory import ServerDirectory
from worker.embedded.redis import redis_binary
from worker.process.children import free_address


@dataclass(kw_only=True)
class RedisServer:
    """A Redis that a test may kill, stop and start again, always empty and on one port."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        here = ServerDirectory(path=self.directory, sockets=self.directory, user=None)
        binary = redis_binary(here)
        self.process = subprocess.Popen(
            [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", str(self.directory)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait_until(lambda: b"PONG" in self.ask("PING"), "Redis to start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE_S)
            self.process = None

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ask(self, *words: str) -> bytes:
        """Send one command and return what is answered, nothing when Redis is away."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall((" ".join(words) + "\r\n").encode())
                return connection.recv(4096)
        except OSError:
            return b""


@contextmanager
def running_redis(directory: Path) -> Iterator[RedisServer]:
    """A Redis with its files in ``directory``; it ends with the block."""
    port = int(free_address().rpartition(":")[2])
    server = RedisServer(directory=directory, port=port)
    server.start()
    try:
        yield server
    finally:
        server.kill()
