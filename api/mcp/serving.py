"""The MCP server: which tools there are for a caller, and what a call answers.

A tool runs in a thread and mostly waits there for a build. Its threads are not those of the API's
routes, so agents that wait cannot keep others from being served.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as OfferedTool

from api.errors import ApiError
from api.mcp.progress import reporting
from chattool.answers import Answer
from chattool.context import OwnerContext
from chattool.owned.shapes import schema_of
from chattool.owned.tools import OWNER_TOOLS
from chattool.tool import Tool
from db.reads.waking import AbandonedError, Waker, Watch

CALLS = 100  #: that one process runs at the same time
ENDING = "the server shuts down; call the tool again in a moment"
INSTRUCTIONS = (
    "Workspaces are development machines, made from templates. A build starts, stops or deletes"
    " one, and costs quota in credits per day. Tools wait for builds for a while; when an answer"
    " has the status running, do what its next field says. An answer with an error field is a"
    " refusal or a failure. What to do about a full quota is for the user to decide."
)


@dataclass(frozen=True, kw_only=True)
class Seat:
    """Who calls: the owner's context, and what the token allows."""

    context: OwnerContext
    may_change: bool
    hold: Callable[[], AbstractContextManager[None]] = nullcontext
    """Counts the call while it runs; raises ``ApiError`` if there are too many."""


SeatOf = Callable[[ServerRequestContext[Any, Any]], Seat]


def make_mcp_server(seat_of: SeatOf, waker: Waker) -> Server[Any]:
    """Return the server.

    Args:
        seat_of: says who makes a request.
        waker: ends the waits of tools when their builds change.
    """
    desk = _Desk(seat_of=seat_of, waker=waker, limiter=anyio.CapacityLimiter(CALLS))
    return Server(
        "provisionerd",
        version=importlib.metadata.version("provisionerd"),
        title="Workspaces",
        instructions=INSTRUCTIONS,
        on_list_tools=desk.list_tools,
        on_call_tool=desk.call_tool,
    )


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """Answers the requests of all clients."""

    seat_of: SeatOf
    waker: Waker
    limiter: anyio.CapacityLimiter  #: of calls that run at a time

    async def list_tools(
        self, request: ServerRequestContext[Any, Any], _page: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """List the tools that the caller may use."""
        seat = self.seat_of(request)
        offered = [tool for tool in OWNER_TOOLS.values() if seat.may_change or tool.is_for_readers]
        return ListToolsResult(tools=[offer(tool) for tool in offered])

    async def call_tool(
        self, request: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        """Call a tool; a refusal is a result, too."""
        tool = OWNER_TOOLS.get(params.name)
        if tool is None:
            known = ", ".join(OWNER_TOOLS)
            raise MCPError(INVALID_PARAMS, f"There is no tool {params.name[:100]!r}: {known}.")
        seat = self.seat_of(request)
        if not seat.may_change and not tool.is_for_readers:
            return as_result(
                {"error": "this token may only read; a token of scope build is needed"}
            )
        try:
            with seat.hold():
                return as_result(await self._run(tool, seat, request, params.arguments or {}))
        except ApiError as error:
            return as_result({"error": str(error)})

    async def _run(
        self,
        tool: Tool,
        seat: Seat,
        request: ServerRequestContext[Any, Any],
        arguments: dict[str, Any],
    ) -> Answer:
        watch = Watch(self.waker)
        try:
            async with reporting(request.session.report_progress) as report:
                context = replace(seat.context, watch=watch, report=report)
                return await anyio.to_thread.run_sync(
                    _call, tool, context, arguments, limiter=self.limiter, abandon_on_cancel=True
                )
        finally:
            watch.abandon()  # the client may have gone


def _call(tool: Tool, context: OwnerContext, arguments: dict[str, Any]) -> Answer:
    try:
        return tool.call(context, arguments)
    except AbandonedError:
        return {"error": ENDING}


def offer(tool: Tool) -> OfferedTool:
    """Return a tool as clients see it."""
    return OfferedTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=schema_of(tool.answer) if tool.answer else None,
        annotations=ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.is_read_only,
            destructive_hint=tool.is_destructive,
            idempotent_hint=tool.is_read_only,
            open_world_hint=False,
        ),
    )


def as_result(answer: Answer) -> CallToolResult:
    """Return an answer as a result; agents without structured content read its text."""
    text = json.dumps(answer, ensure_ascii=False)
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=answer,
        is_error="error" in answer,
    )
