"""The door of the MCP server over HTTP: ``POST /mcp``, with the tokens of the API.

No request depends on another one, so any process can answer it. Tokens of cookies are not taken:
a page of a stranger cannot make a browser call tools.

The first request that may come in loads the server. Its libraries need 24 MB of memory and a third
of the time that the API takes to start, and many sites never use them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup, TaskStatus
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from api.errors import ApiError, answer_to, as_api_error
from api.mcp.visitor import VISITOR, identify
from api.site import Site

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH = "/mcp"


class McpDoor:
    """The ASGI application at ``/mcp``."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._loading = anyio.Lock()
        self._tasks: TaskGroup | None = None
        self._sessions: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve within the block."""
        async with anyio.create_task_group() as self._tasks:
            yield
            self._tasks.cancel_scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        try:
            visitor = await identify(HTTPConnection(scope), self._site)
            sessions = await self._loaded()
        except Exception as error:  # noqa: BLE001 - outside of FastAPI, whose handlers do this
            refusal = error if isinstance(error, ApiError) else as_api_error(error)
            await answer_to(refusal)(scope, receive, send)
            return
        await sessions.handle_request({**scope, VISITOR: visitor}, receive, send)

    async def _loaded(self) -> StreamableHTTPSessionManager:
        async with self._loading:
            if self._sessions is None:
                assert self._tasks is not None, "the door is open"
                self._sessions = await self._tasks.start(self._serve)
            return self._sessions

    async def _serve(self, *, task_status: TaskStatus[StreamableHTTPSessionManager]) -> None:
        sessions = await run_in_threadpool(_load, self._site)
        async with sessions.run():
            task_status.started(sessions)
            await anyio.sleep_forever()


def _load(site: Site) -> StreamableHTTPSessionManager:
    from api.mcp.sessions import make_sessions  # noqa: PLC0415 - see above

    return make_sessions(site)
