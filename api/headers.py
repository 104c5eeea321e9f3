"""What is done to every request and answer: addresses in one form, and Coder's headers."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUILD_VERSION = "v0.0.0"
"""What clients compare with their own version. Any client accepts this one without a warning."""

OWN = "/api/v2/provisionerd/"  #: routes that Go's clients do not use; an empty value is one
FOLLOW = b"follow"  #: the query parameter that counts without a value
_SLASHES = re.compile("/{2,}")


class OneAddress:
    """Lets ``//x`` and ``/x/`` mean ``/x``, and ``?limit=`` mean no limit, as Coder does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] in {"http", "websocket"}:
            path = _SLASHES.sub("/", scope["path"]).rstrip("/") or "/"
            query = scope["query_string"]
            if not path.startswith(OWN):
                query = _without_blanks(query)
            scope = {**scope, "path": path, "query_string": query}
        await self._app(scope, receive, send)


def _without_blanks(query: bytes) -> bytes:
    """Leave out the parameters without a value: Go's clients send them for "not given"."""
    parts = (part.partition(b"=") for part in query.split(b"&"))
    return b"&".join(b"".join(part) for part in parts if part[2] or part[0] == FOLLOW)


class CommonHeaders:
    """Sets the headers that every answer has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                headers = MutableHeaders(scope=message)
                headers["X-Coder-Build-Version"] = BUILD_VERSION
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)
