"""A hook that is asked by HTTP, signed as Standard Webhooks says.

The header ``webhook-signature`` is ``v1,`` and the base64 of the HMAC-SHA256 of
``<webhook-id>.<webhook-timestamp>.<body>``. Repeated requests of one attempt have the same id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from provisioner.host.interrupt import Interrupt
from provisioner.platform.hook import BuildSecrets, HookError, HookRequest, read_answer

MAX_ANSWER = 1024 * 1024
"""Maximum bytes of an answer."""

_PAUSE_S = 0.5
_PREFIX = "whsec_"


class _UnavailableError(Exception):
    """Another request may be answered: the server was not reached, or is busy."""


@dataclass(frozen=True, kw_only=True)
class HttpHook:
    """Asks the server at ``url``, repeatedly until ``deadline`` while it is not available.

    Redirects are not followed, because the signature is for one server.
    """

    url: str
    key: bytes
    deadline: timedelta

    def __call__(self, request: HookRequest, interrupt: Interrupt) -> BuildSecrets:
        """Return the answer (see ``provisioner.platform.hook.BuildHook``)."""
        body = json.dumps(request.as_json()).encode()
        end = time.monotonic() + self.deadline.total_seconds()
        while True:
            try:
                return _read(self._ask(request, body, end))
            except _UnavailableError as error:
                if time.monotonic() + _PAUSE_S > end:
                    raise HookError(str(error)) from None
            if interrupt.wait(_PAUSE_S):
                raise HookError("the build was interrupted")

    def _ask(self, request: HookRequest, body: bytes, end: float) -> bytes:
        url = urlsplit(self.url)
        connection = _connect(url, timeout_s=max(end - time.monotonic(), 0.1))
        try:
            path = url._replace(scheme="", netloc="", fragment="").geturl() or "/"
            connection.request("POST", path, body=body, headers=self._headers(request, body))
            with connection.getresponse() as response:
                return _body(response, end)
        except TimeoutError:
            raise _UnavailableError("it did not answer in time") from None
        except (OSError, HTTPException) as error:
            raise _UnavailableError(f"it cannot be reached: {error}") from None
        finally:
            connection.close()

    def _headers(self, request: HookRequest, body: bytes) -> dict[str, str]:
        message_id = f"{request.build_id}-{request.attempt}"
        timestamp = str(int(time.time()))
        return {
            "content-type": "application/json",
            "user-agent": "provisionerd",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(self.key, message_id, timestamp, body),
        }


def key_of(secret: str) -> bytes:
    """Return the key of a secret: ``whsec_`` and base64, or any other text as it is.

    Raises:
        ValueError: what follows ``whsec_`` is not base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {_PREFIX} is not base64") from None


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a message."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _connect(url: SplitResult, *, timeout_s: float) -> HTTPConnection:
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    return kind(url.hostname or "", url.port, timeout=timeout_s)


def _body(response: HTTPResponse, end: float) -> bytes:
    """Return the body of a good answer. One that comes slowly ends at the deadline, too."""
    if response.status != 200:
        _refuse(response.status)
    body = bytearray()
    while piece := response.read1(64 * 1024):
        body += piece
        if len(body) > MAX_ANSWER:
            raise HookError(f"its answer has more than {MAX_ANSWER} bytes")
        if time.monotonic() > end:
            raise _UnavailableError("it did not answer in time")
    return bytes(body)


def _refuse(status: int) -> NoReturn:
    message = f"it answered with the status {status}"
    if status >= 500 or status == 429:
        raise _UnavailableError(message)
    raise HookError(message)


def _read(body: bytes) -> BuildSecrets:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise HookError("its answer is not JSON") from None
    return read_answer(answer)
