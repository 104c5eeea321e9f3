"""A small TCP proxy that harms the connections through it, for tests."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

CHUNK = 65536
LOCAL = "127.0.0.1"
COMMIT = b"COMMIT"
TICK_S = 0.02
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


@dataclass(kw_only=True, eq=False)
class _Link:
    client: socket.socket
    server: socket.socket
    marked: bool = False  #: the pattern of ``lose_answer`` was seen on it
    doomed: bool = False  #: the statement whose answer is to be lost is on its way

    def cut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.close()


@dataclass(kw_only=True)
class Proxy:
    """Forwards from a port of its own to ``target``, until told otherwise. A context manager."""

    target: tuple[str, int]
    address: str = LOCAL  #: where it listens
    lost_answers: int = 0
    _links: set[_Link] = field(default_factory=set)
    _refusing: bool = False
    _frozen: threading.Event = field(default_factory=threading.Event)
    _delay_s: float = 0.0
    _pattern: bytes | None = None
    _awaits_commit: bool = True
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.address, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        # Wakes the thread that accepts; closing alone does not.
        with suppress(OSError):
            socket.create_connection(self._listener.getsockname(), timeout=1).close()
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            link.cut()

    def refuse(self) -> None:
        """Reset every connection, and each new one at once, until ``heal``."""
        self._refusing = True
        self.cut()

    def freeze(self) -> None:
        """Let every connection hang half-open: taken, acknowledged, never answered."""
        self._frozen.set()

    def delay(self, seconds: float) -> None:
        """Hold back each piece of data, in both directions."""
        self._delay_s = seconds

    def lose_answer(self, pattern: bytes) -> None:
        """Once: after ``pattern`` and then COMMIT were sent, drop the answer and cut.

        The server has done what it was asked to; its client does not get to know.
        """
        self._pattern, self._awaits_commit = pattern, True

    def lose_row(self, pattern: bytes) -> None:
        """Once: after ``pattern`` was sent, drop the answer and cut. Nothing was committed."""
        self._pattern, self._awaits_commit = pattern, False

    def heal(self) -> None:
        """Forward again."""
        self._refusing, self._delay_s, self._pattern = False, 0.0, None
        self._frozen.clear()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if not self._refusing and not self._closing.is_set():
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                return
            server.settimeout(None)
            link = _Link(client=client, server=server)
            with self._lock:
                self._links.add(link)
            with suppress(OSError, ValueError):
                self._forward(link)
            link.cut()
            with self._lock:
                self._links.discard(link)
        client.close()

    def _forward(self, link: _Link) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(link.client, selectors.EVENT_READ)
            selector.register(link.server, selectors.EVENT_READ)
            while not self._closing.is_set():
                if self._frozen.is_set():
                    self._closing.wait(TICK_S)
                    continue
                for key, _ in selector.select(TICK_S):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    if not self._pass_on(link, source):
                        return

    def _pass_on(self, link: _Link, source: socket.socket) -> bool:
        data = source.recv(CHUNK)
        if not data:
            return False
        if self._delay_s:
            self._closing.wait(self._delay_s)
        if source is link.client:
            self._look_at(link, data)
            link.server.sendall(data)
        elif link.doomed:
            self.lost_answers += 1
            return False
        else:
            link.client.sendall(data)
        return True

    def _look_at(self, link: _Link, data: bytes) -> None:
        with self._lock:
            if self._pattern is not None and self._pattern in data:
                link.marked = True
            if self._pattern is None or not link.marked:
                return
            if COMMIT in data or not self._awaits_commit:
                link.doomed, self._pattern = True, None


def retarget(proxy: Proxy) -> Callable[[str], str]:
    """Return a function that puts the proxy's port into a URL of 127.0.0.1."""
    host, port = proxy.target

    def through(url: str) -> str:
        return url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")

    return through
