"""Who comes in by the door of the MCP server."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from api.caller import Caller
from api.errors import ApiError, forbidden
from api.gate import Gate, address_of, token_of
from api.site import Site
from db.catalog.audit import Actor
from db.schema.tables.tokens import TOKEN_ID_LENGTH

VISITOR = "provisionerd.visitor"
"""Where the scope of a request has its visitor."""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Who makes a request, for as long as the request lasts."""

    caller: Caller
    actor: Actor


async def identify(connection: HTTPConnection, site: Site) -> Visitor:
    """Return who makes a request.

    Raises:
        ApiError: the request is refused.
    """
    if connection.scope["method"] != "POST":
        raise ApiError(405, "Method not allowed.", headers={"Allow": "POST"})
    check_origin(connection.headers, site.access_url)
    bare = without_cookies(connection)
    site.rate.count(token_of(bare)[:TOKEN_ID_LENGTH] or address_of(bare, site))
    return await run_in_threadpool(_visitor_at, Gate(bare))


def _visitor_at(gate: Gate) -> Visitor:
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
