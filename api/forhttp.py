"""The middleware through which HTTP requests go; other connections pass it untouched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

Handle = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]
"""Handles one HTTP request, with the application that comes after it."""


class ForHttp:
    """Lets a function handle the HTTP requests."""

    def __init__(self, app: ASGIApp, handle: Handle) -> None:
        self._app = app
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            await self._handle(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)
