"""Clients that send half a request, or read nothing."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest

from api import patience
from db.schema.tables import User
from tests.harness.api.client import Client
from tests.harness.api.door import Door
from tests.harness.api.shapes import USER

SHORT_S = 0.5


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_S", SHORT_S)
    monkeypatch.setattr(patience, "CHUNK_S", SHORT_S)


def connect(door: Door) -> socket.socket:
    parts = urlsplit(door.url)
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=30)


def ends(sock: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
    except ConnectionResetError:
        pass
    return got


@pytest.mark.parametrize("sent", [b"", b"GET /api/v2/users/me HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_request_is_not_waited_for(door: Door, sent: bytes) -> None:
    with connect(door) as sock:
        sock.sendall(sent)
        assert ends(sock) == b""


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(door: Door) -> None:
    with connect(door) as sock:
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 20:
                sock.sendall(b"G")
                if time.monotonic() - begun > SHORT_S:
                    sock.settimeout(0.2)
                    assert sock.recv(1) == b""
                    break
        except (ConnectionError, TimeoutError):
            pass
        assert time.monotonic() - begun < 20


def test_a_body_that_never_comes_is_not_waited_for(door: Door, owner: User) -> None:
    head = (
        "POST /api/v2/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Coder-Session-Token: {door.token(owner)}\r\nContent-Length: 100\r\n\r\n{{"
    )
    with connect(door) as sock:
        sock.sendall(head.encode())
        assert b" 408 " in ends(sock).partition(b"\r\n")[0]


def test_a_connection_that_is_kept_open_goes_on_working(door: Door, admin: Client) -> None:
    admin.get("users/me", USER)
    time.sleep(2 * SHORT_S)  # longer than a head may take, shorter than a connection may idle
    assert admin.get("users/me", USER)["username"] == "ada"
