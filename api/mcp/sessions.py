"""The sessions of the MCP server over HTTP: one for each request, on any process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from api.limits import MAX_BODY_BYTES
from api.mcp.serving import Seat, make_mcp_server
from api.mcp.visitor import VISITOR, Visitor
from api.site import Site
from chattool.context import OwnerContext
from chattool.settings import ToolSettings
from db.schema.enums import TokenScope
from worker.broker.ringer import ring_later

NOBODY = uuid.UUID(int=0)


def make_sessions(site: Site) -> StreamableHTTPSessionManager:
    """Return the sessions of a site. They are served while their ``run`` lasts."""
    return StreamableHTTPSessionManager(
        make_mcp_server(_Seats(site).seat_of, site.hub.waker),
        stateless=True,
        max_request_body_size=MAX_BODY_BYTES,
    )


class _Seats:
    def __init__(self, site: Site) -> None:
        self._site = site

    def seat_of(self, request: ServerRequestContext[Any, Any]) -> Seat:
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
