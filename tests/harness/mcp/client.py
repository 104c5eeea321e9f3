"""Calls of the MCP server's tools by the SDK's own client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import httpx2
from jsonschema import validate
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

Found = TypeVar("Found")


@dataclass
class Agent:
    """A client that checks each answer against the tool's own output schema."""

    client: Client
    progress: list[str] = field(default_factory=list)

    async def tools(self) -> dict[str, Any]:
        return {tool.name: tool for tool in (await self.client.list_tools()).tools}

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        async def note(progress: float, total: float | None, message: str | None) -> None:
            self.progress.append(message or "")

        result = await self.client.call_tool(tool, arguments, progress_callback=note)
        answer: dict[str, Any] = result.structured_content
        assert result.is_error == ("error" in answer)
        validate(answer, (await self.tools())[tool].output_schema)
        return answer


def by_http(url: str, token: str, headers: Mapping[str, str] | None = None) -> Any:
    """The transport to ``/mcp`` of an API."""

    @asynccontextmanager
    async def connect() -> Any:
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        async with (
            httpx2.AsyncClient(headers=sent, timeout=60) as http,
            streamable_http_client(f"{url}/mcp", http_client=http) as streams,
        ):
            yield streams

    return connect()


def by_stdio(command: str, *arguments: str, env: Mapping[str, str]) -> Any:
    """The transport to a process that is started."""
    return stdio_client(StdioServerParameters(command=command, args=list(arguments), env=dict(env)))


def ask(
    transport: AbstractAsyncContextManager[Any],
    doing: Callable[[Agent], Awaitable[Found]],
    *,
    mode: str = "auto",
) -> Found:
    """Return what ``doing`` returns, with an agent that is connected by the transport."""

    async def main() -> Found:
        with anyio.fail_after(60):
            async with Client(transport, mode=mode) as client:
                return await doing(Agent(client))

    return anyio.run(main)
