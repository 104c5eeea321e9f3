"""The MCP server for one client, over standard input and output."""

from __future__ import annotations

import anyio
from mcp.server.stdio import stdio_server

from api.mcp.serving import Seat, make_mcp_server
from db.reads.waking import Waker


def serve_stdio(seat: Seat, waker: Waker) -> None:
    """Serve until standard input ends. Nothing else may write to standard output meanwhile."""
    anyio.run(_serve, seat, waker)


async def _serve(seat: Seat, waker: Waker) -> None:
    server = make_mcp_server(lambda _request: seat, waker)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())
