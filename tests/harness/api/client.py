"""A client of the HTTP API that is as strict as ``codersdk``."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from httpx_ws import WebSocketDisconnect, WebSocketUpgradeError, connect_ws

from tests.harness.api.shapes import LOG, MESSAGE
from tests.harness.api.strict import Decoder

HEADER = "Coder-Session-Token"
MESSAGE_LIMIT = 32_768  #: bytes of one websocket message
TIMEOUT_S = 60.0


class AnswerError(Exception):
    """The status was not the expected one."""

    def __init__(self, response: httpx.Response) -> None:
        media = response.headers.get("Content-Type", "").partition(";")[0]
        assert media == "application/json", f"{response.request.url}: {response.text[:200]}"
        body = MESSAGE(response.json(), "error")
        assert body["message"], "an error has a message"
        super().__init__(f"{response.status_code} {body['message']} {body['detail']}")
        self.status: int = response.status_code
        self.message: str = body["message"]
        self.detail: str = body["detail"]
        self.validations: list[dict[str, str]] = body["validations"]


def refused(doing: Callable[[], object]) -> AnswerError:
    """Return the error with which the API refuses what ``doing`` asks for."""
    with pytest.raises(AnswerError) as caught:
        doing()
    return caught.value


def open_http(url: str) -> httpx.Client:
    """Return a client of the API, which speaks no TLS: no certificates are loaded for it."""
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, verify=False)


class Client:
    """One user's client."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.token = token
        self.http = open_http(url)

    def close(self) -> None:
        self.http.close()

    @property
    def headers(self) -> dict[str, str]:
        # An empty token is sent, too.
        return {HEADER: self.token}

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = path if path.startswith("/") else f"/api/v2/{path}"
        return self.http.request(method, url, headers=self.headers, **options)

    def ask(
        self,
        method: str,
        path: str,
        decoder: Decoder | None = None,
        *,
        status: int = 200,
        body: Any = None,
    ) -> Any:
        """Send JSON, and decode the answer if its status is the expected one.

        Raises:
            AnswerError: another status.
        """
        options = {} if body is None else {"json": body}
        response = self.send(method, path, **options)
        if response.status_code != status:
            raise AnswerError(response)
        assert response.headers["X-Coder-Build-Version"] == "v0.0.0"
        return None if decoder is None else decoder(response.json(), path)

    def get(self, path: str, decoder: Decoder) -> Any:
        return self.ask("GET", path, decoder)

    def upload(self, archive: bytes) -> uuid.UUID:
        """Send an archive in chunks, without its length."""

        def chunks() -> Iterator[bytes]:
            for start in range(0, len(archive), 16_384):
                yield archive[start : start + 16_384]

        response = self.http.post(
            "/api/v2/files",
            content=chunks(),
            headers={**self.headers, "Content-Type": "application/x-tar"},
        )
        if response.status_code not in {200, 201}:
            raise AnswerError(response)
        return uuid.UUID(response.json()["hash"])

    @contextmanager
    def logs(self, path: str) -> Iterator[Iterator[dict[str, Any]]]:
        """Follow a log by websocket; the iterator ends when the server closes."""
        url = f"{self.url.replace('http', 'ws', 1)}/api/v2/{path}"
        try:
            socket: Any
            with connect_ws(url, self.http, headers=self.headers) as socket:
                offered = socket.response.headers if socket.response else {}
                assert "sec-websocket-extensions" not in offered
                assert "sec-websocket-protocol" not in offered
                yield _lines(socket)
        except WebSocketUpgradeError as error:
            raise self._refused_upgrade(path) from error

    def _refused_upgrade(self, path: str) -> AnswerError:
        """Ask again, since ``httpx_ws`` closes a refused answer before its body is read."""
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        }
        answer = self.http.get(f"/api/v2/{path}", headers={**self.headers, **upgrade})
        assert len(answer.content) <= 1024, "clients read no more of it"
        return AnswerError(answer)


def _lines(socket: Any) -> Iterator[dict[str, Any]]:
    while True:
        try:
            text = socket.receive_text(timeout=TIMEOUT_S)
        except WebSocketDisconnect:
            return
        assert len(text.encode()) < MESSAGE_LIMIT
        yield LOG(json.loads(text), "log")
