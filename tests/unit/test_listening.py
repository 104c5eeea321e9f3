"""Connections to the HTTP API."""

from __future__ import annotations

import socket

from cli.serve import listening


def test_no_packet_of_an_answer_waits_for_an_acknowledgment() -> None:
    with (
        listening("127.0.0.1:0") as sock,
        socket.create_connection(sock.getsockname(), timeout=10),
        sock.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
