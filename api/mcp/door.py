"""The door of the MCP server over HTTP: ``POST /mcp``, with the tokens of the API.

No request depends on another one, so any process can answer it. Tokens of cookies are not taken:
a page of a stranger cannot make a browser call tools.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from api.caller import Caller
from api.errors import ApiError, answer_to, as_api_error, forbidden
from api.gate import Gate, address_of, token_of
from api.limits import MAX_BODY_BYTES
from api.mcp.serving import Seat, make_mcp_server
from api.site import Site
from chattool.context import OwnerContext
from chattool.settings import ToolSettings
from db.catalog.audit import Actor
from db.schema.enums import TokenScope
from db.schema.tables.tokens import TOKEN_ID_LENGTH
from worker.broker.ringer import ring_later

PATH = "/mcp"
VISITOR = "provisionerd.visitor"
NOBODY = uuid.UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Who makes a request, for as long as the request lasts."""

    caller: Caller
    actor: Actor


class McpDoor:
    """The ASGI application at ``/mcp``."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sessions = StreamableHTTPSessionManager(
            make_mcp_server(self._seat_of, site.hub.waker),
            stateless=True,
            max_request_body_size=MAX_BODY_BYTES,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve within the block."""
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        try:
            visitor = await self._enter(HTTPConnection(scope))
        except Exception as error:  # noqa: BLE001 - outside of FastAPI, whose handlers do this
            refusal = error if isinstance(error, ApiError) else as_api_error(error)
            await answer_to(refusal)(scope, receive, send)
            return
        await self._sessions.handle_request({**scope, VISITOR: visitor}, receive, send)

    async def _enter(self, connection: HTTPConnection) -> Visitor:
        if connection.scope["method"] != "POST":
            raise ApiError(405, "Method not allowed.", headers={"Allow": "POST"})
        check_origin(connection.headers, self._site.access_url)
        bare = without_cookies(connection)
        self._site.rate.count(token_of(bare)[:TOKEN_ID_LENGTH] or address_of(bare, self._site))
        return await run_in_threadpool(_identify, Gate(bare))

    def _seat_of(self, request: ServerRequestContext[Any, Any]) -> Seat:
        assert request.request is not None, "requests come by HTTP"
        visitor: Visitor = request.request.scope[VISITOR]
        caller = visitor.caller
        context = OwnerContext(
            database=self._site.database,
            owner_id=caller.user_id,
            organization_id=next(iter(caller.memberships), NOBODY),
            settings=ToolSettings(),
            ring=ring_later(self._site.redis_url),
            actor=visitor.actor,
        )
        return Seat(
            context=context,
            may_change=caller.scope.includes(TokenScope.BUILD),
            hold=lambda: self._held(caller.token_id or str(caller.user_id)),
        )

    @contextmanager
    def _held(self, holder: str) -> Iterator[None]:
        release = self._site.hub.take(holder, self._site.streams_per_token)
        try:
            yield
        finally:
            release()


def _identify(gate: Gate) -> Visitor:
    with gate.enter() as visit:
        return Visitor(caller=visit.caller, actor=visit.actor)


def without_cookies(connection: HTTPConnection) -> HTTPConnection:
    """Return the connection as if it had no cookies and no token in its query."""
    headers = [(name, value) for name, value in connection.scope["headers"] if name != b"cookie"]
    return HTTPConnection({**connection.scope, "headers": headers, "query_string": b""})


def check_origin(headers: Headers, access_url: str) -> None:
    """Refuse requests from pages of other sites, as the protocol's specification demands.

    Raises:
        ApiError: the request has an Origin that is neither the server's own nor the access URL's.
    """
    origin = headers.get("origin")
    if origin is None:
        return
    own = {headers.get("host", "").lower(), urlsplit(access_url).netloc.lower()} - {""}
    if _host_of(origin) not in own:
        raise forbidden("Requests from pages of other sites are refused.")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as an unfinished IPv6 address
        return ""
