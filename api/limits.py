"""Limits of what one client can make the server do: sizes of bodies, and the rate of requests."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, answer_to

MAX_BODY_BYTES = 1024 * 1024  #: of a JSON body; a pushed state may be larger
MAX_STATE_BODY_BYTES = 96 * 1024 * 1024
MAX_UPLOAD_BYTES = 100 * 1024 * 1024
CLIENTS_KEPT = 10_000
WINDOW_S = 60.0


async def bound_body(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a body that is too large, before and while it arrives."""
    limit = limit_of(scope["path"])
    declared = Headers(scope=scope).get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        await answer_to(_too_large(limit))(scope, receive, send)
        return
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            # FastAPI turns any other exception, while it reads a body, into a 400.
            raise HTTPException(413, f"Request body is too large. The limit is {limit} bytes.")
        return message

    await app(scope, receive_bounded, send)


def limit_of(path: str) -> int:
    """Return how many bytes the body of a request to this path may have."""
    if path == "/api/v2/files":
        return MAX_UPLOAD_BYTES
    is_state = path.startswith("/api/v2/workspace") and path.endswith(("/builds", "/state"))
    return MAX_STATE_BODY_BYTES if is_state else MAX_BODY_BYTES


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "Request body is too large.", f"The limit is {limit} bytes.")


class Rate:
    """How often each client may ask: a window of a minute, remembered for the latest clients."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_minute
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, client: str) -> None:
        """Count a request.

        Raises:
            ApiError: the client has sent too many within the window.
        """
        if not self._limit:
            return
        now = self._clock()
        begun, count = self._windows.pop(client, (now, 0))
        if now - begun >= WINDOW_S:
            begun, count = now, 0
        self._windows[client] = (begun, count + 1)
        if len(self._windows) > CLIENTS_KEPT:
            self._windows.popitem(last=False)
        if count + 1 > self._limit:
            left_s = max(1, int(begun + WINDOW_S - now))
            raise ApiError(
                429,
                "You've been rate limited for sending more than"
                f" {self._limit} requests in {int(WINDOW_S)}s.",
                headers={"Retry-After": str(left_s)},
            )
