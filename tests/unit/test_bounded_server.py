"""Clients that send too little, too much or too slowly keep nobody from being answered."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Gauge

from tests.harness.waiting import wait_until
from worker.metrics import boundedserver
from worker.metrics.boundedserver import MAX_CONNECTIONS, BoundedServer, Request, Response
from worker.metrics.exposition import serve_metrics

HALF = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def server() -> Iterator[BoundedServer]:
    registry = CollectorRegistry()
    Gauge("answer", "An answer.", registry=registry).set(42)
    made = serve_metrics("127.0.0.1:0", registry=registry, readiness=lambda: "draining")
    yield made
    made.stop()


def get(server: BoundedServer, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = (
        answer.status,
        answer.read(),
        {name.lower(): value for name, value in answer.headers.items()},
    )
    connection.close()
    return found


def connect(server: BoundedServer, sent: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    if sent:
        made.sendall(sent)
    return made


def said(made: socket.socket) -> bytes:
    with made:
        pieces = []
        while piece := made.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", 200, b"ok\n"),
        ("/readyz", 503, b"draining\n"),
        ("/other", 404, b"see /metrics, /healthz, /readyz\n"),
    ],
)
def test_each_path_has_its_answer(
    server: BoundedServer, path: str, status: int, body: bytes
) -> None:
    assert get(server, path)[:2] == (status, body)


def test_metrics_are_in_the_format_that_the_client_asks_for(server: BoundedServer) -> None:
    _status, plain, headers = get(server, "/metrics")
    assert b"answer 42.0" in plain
    assert headers["content-type"].startswith("text/plain")
    _status, _body, headers = get(server, "/metrics", Accept="application/openmetrics-text")
    assert headers["content-type"].startswith("application/openmetrics-text")
    _status, body, headers = get(server, "/metrics", **{"Accept-Encoding": "gzip"})
    assert (headers["content-encoding"], body[:2]) == ("gzip", b"\x1f\x8b")


def test_no_program_is_named(server: BoundedServer) -> None:
    assert "server" not in get(server, "/healthz")[2]


def test_a_head_without_a_body_is_answered(server: BoundedServer) -> None:
    with urlopen(HttpRequest(f"http://127.0.0.1:{server.port}/healthz", method="HEAD")) as answer:
        assert (answer.status, answer.read()) == (HTTPStatus.OK, b"")


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"\x16\x03\x01 hello\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 20_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
    ],
)
def test_other_requests_are_refused(server: BoundedServer, sent: bytes, line: bytes) -> None:
    assert said(connect(server, sent)).startswith(line)


@pytest.mark.parametrize("sent", [b"", HALF], ids=["silent", "half a request"])
def test_health_is_answered_beside_thousands_of_connections(
    server: BoundedServer, sent: bytes
) -> None:
    with ExitStack() as opened:
        for _ in range(4 * MAX_CONNECTIONS):
            opened.enter_context(connect(server, sent))
        assert get(server, "/healthz")[:2] == (200, b"ok\n")
        assert len(server._waiting) <= MAX_CONNECTIONS


def test_clients_that_do_not_read_their_answers_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boundedserver, "MAX_CONNECTIONS", 2)

    answered: list[int] = []

    async def answer(request: Request) -> Response:
        answered.append(int(request.query))
        return Response(status=HTTPStatus.OK, body=bytes(16 * 1024**2))

    server = BoundedServer(socket.create_server(("127.0.0.1", 0)), answer)
    with ExitStack() as opened:
        opened.callback(server.stop)
        for number in range(1, 5):
            opened.enter_context(connect(server, b"GET /large?%d HTTP/1.1\r\n\r\n" % number))
            wait_until(partial(answered.__contains__, number), "the answer")
        assert len(server._open) <= 2


def test_half_a_request_is_given_up(server: BoundedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundedserver, "HEAD_S", 0.1)
    assert said(connect(server, HALF)) == b""
    wait_until(lambda: not server._waiting, "the end of the connection")


def test_a_server_that_is_stopped_ends_its_connections(server: BoundedServer) -> None:
    made = connect(server, HALF)
    wait_until(lambda: server._open, "the connection")
    server.stop()
    assert said(made) == b""
    with pytest.raises(OSError, match="refused"):
        connect(server)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_port(server: BoundedServer) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0 if server._socket.fileno() == -1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert get(server, "/healthz")[0] == HTTPStatus.OK
