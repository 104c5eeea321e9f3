"""Hooks that are asked by HTTP, and hooks that are Python functions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.platform.hook import HookError, HookRequest
from provisioner.platform.httphook import MAX_ANSWER, HttpHook, key_of
from provisioner.platform.pythonhook import PythonHook, find_hook

KEY = b"key"
LONG, SHORT = timedelta(seconds=20), timedelta(seconds=0.2)
REQUEST = HookRequest(build_id="b1", attempt=2, facts={"transition": "start"})


@dataclass
class Server:
    """A server of a hook; it answers each request with the next of the answers."""

    answers: list[tuple[int, bytes]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    waits: threading.Event | None = None

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.requests.append((path, headers, body))
        if self.waits:
            self.waits.wait(20)
        return self.answers.pop(0)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = made.answer(self.path, headers, body)
            self.send_response(status)
            self.send_header("location", made.url)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        made.url = f"http://127.0.0.1:{listening.server_port}/hooks?x=1"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield made
        listening.shutdown()
        thread.join()


def ask(server: Server, *, deadline: timedelta = LONG, interrupt: Interrupt | None = None) -> Any:
    return HttpHook(url=server.url, key=KEY, deadline=deadline)(REQUEST, interrupt or Interrupt())


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(HookError) as caught:
        call()
    return str(caught.value)


def test_the_answer_of_a_server_is_read(server: Server) -> None:
    server.answers = [(200, b'{"session_token": "t"}')]
    assert ask(server).session_token == "t"


def test_a_request_names_its_build_and_attempt(server: Server) -> None:
    server.answers = [(200, b"{}")]
    ask(server)
    [(path, _headers, body)] = server.requests
    assert path == "/hooks?x=1"
    assert json.loads(body) == {
        "type": "workspace_build.secrets",
        "build_id": "b1",
        "attempt": 2,
        "transition": "start",
    }


def test_a_request_is_signed(server: Server) -> None:
    server.answers = [(200, b"{}")]
    ask(server)
    [(_path, headers, body)] = server.requests
    signed = f"b1-2.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-id"] == "b1-2"
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_server_is_asked_again(server: Server, status: int) -> None:
    server.answers = [(status, b""), (200, b"{}")]
    ask(server)
    assert [headers["webhook-id"] for _, headers, _ in server.requests] == ["b1-2", "b1-2"]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (403, b"", "it answered with the status 403"),
        (302, b"", "it answered with the status 302"),
        (200, b"<html>", "its answer is not JSON"),
        (200, b"[" * 100_000, "its answer is not JSON"),
        (200, b'{"session_token": 1}', "its answer is not valid"),
        (200, b" " * (MAX_ANSWER + 1), "its answer has more than"),
    ],
)
def test_another_answer_is_refused_at_once(
    server: Server, status: int, body: bytes, message: str
) -> None:
    server.answers = [(status, body)]
    assert refusal(lambda: ask(server)).startswith(message)


def test_a_server_that_stays_busy_is_refused_at_the_deadline(server: Server) -> None:
    server.answers = [(503, b"")]
    assert refusal(lambda: ask(server, deadline=SHORT)) == "it answered with the status 503"


def test_a_server_that_does_not_answer_is_refused_at_the_deadline(server: Server) -> None:
    server.answers, server.waits = [(200, b"{}")], threading.Event()
    assert refusal(lambda: ask(server, deadline=SHORT)) == "it did not answer in time"
    server.waits.set()


def test_a_server_that_cannot_be_reached_is_refused_at_the_deadline() -> None:
    hook = HttpHook(url="http://127.0.0.1:1/", key=KEY, deadline=SHORT)
    assert refusal(lambda: hook(REQUEST, Interrupt())).startswith("it cannot be reached: ")


def test_an_interrupt_ends_the_wait_for_a_busy_server(server: Server) -> None:
    server.answers = [(503, b"")] * 9
    interrupt = Interrupt()
    interrupt.request(InterruptReason.CANCEL)
    assert refusal(lambda: ask(server, interrupt=interrupt)) == "the build was interrupted"


@pytest.mark.parametrize(
    ("secret", "key"), [("plain", b"plain"), ("whsec_" + base64.b64encode(b"k").decode(), b"k")]
)
def test_a_secret_is_text_or_base64(secret: str, key: bytes) -> None:
    assert key_of(secret) == key


def test_a_secret_that_is_not_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="is not base64"):
        key_of("whsec_!")


def test_a_function_answers() -> None:
    hook = PythonHook(function=lambda asked: {"session_token": asked["build_id"]}, deadline=LONG)
    assert hook(REQUEST, Interrupt()).session_token == "b1"


def test_an_exception_of_a_function_is_named_without_its_text() -> None:
    def fail(_asked: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("hunter2")

    hook = PythonHook(function=fail, deadline=LONG)
    assert refusal(lambda: hook(REQUEST, Interrupt())) == "it raised RuntimeError"


def test_a_function_that_takes_too_long_is_abandoned() -> None:
    wait = threading.Event()

    def sleep(_asked: dict[str, Any]) -> dict[str, Any]:
        wait.wait(20)
        return {}

    hook = PythonHook(function=sleep, deadline=SHORT)
    assert refusal(lambda: hook(REQUEST, Interrupt())) == "it did not answer in time"
    wait.set()


def test_an_entry_point_that_is_not_installed_is_named() -> None:
    with pytest.raises(LookupError, match="'missing' in provisionerd"):
        find_hook("missing", deadline=LONG)
