"""A session of an agent that is refused by quota, as docs/agents.md shows it.

    UPDATE_DOCS=1 python -m pytest tests/integration/api/mcp/test_session.py

writes it anew.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from db.schema.enums import TokenScope
from db.schema.tables import User
from tests.harness.api.door import Door
from tests.harness.mcp.client import Agent, ask, by_http
from tests.integration.chattool.chatting import Chat

PAGE = Path(__file__).parents[4] / "docs/agents.md"
MARKS = ("<!-- session: begin -->", "<!-- session: end -->")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.+]+")


class Session:
    """Calls tools, and keeps what was said."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._known: dict[str, str] = {}
        self.blocks: list[str] = []

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await self._agent.call(tool, **arguments)
        said = json.dumps(arguments) if arguments else "{}"
        text = TIME.sub("2026-01-01T00:00:00Z", json.dumps(answer, indent=2))
        self.blocks.append(f"```json\n// {tool} {said}\n{UUID.sub(self._mask, text)}\n```")
        return answer

    def _mask(self, found: re.Match[str]) -> str:
        number = len(self._known) + 1
        return self._known.setdefault(found[0], f"00000000-0000-4000-8000-{number:012}")


async def play(agent: Agent) -> str:
    """An agent that has one workspace wants another."""
    session = Session(agent)
    await agent.call("create_workspace", template="dev", name="old")
    refused = await session.call("create_workspace", template="dev", name="lab")
    assert refused["error_code"] == "INSUFFICIENT_QUOTA"
    listed = await session.call("list_workspaces")
    assert [found["name"] for found in listed["workspaces"]] == ["old", "lab"]
    await session.call("stop_workspace", workspace="old")
    started = await session.call("start_workspace", workspace="lab")
    assert started["status"] == "succeeded"
    return "\n\n".join(session.blocks)


def test_an_agent_that_is_refused_by_quota_stops_a_workspace_and_succeeds(
    door: Door, alice: User, built: Chat
) -> None:
    played = ask(by_http(door.url, door.token(alice, TokenScope.BUILD)), play)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    current = f"{before}{MARKS[0]}\n{played}\n{MARKS[1]}{after}"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(current, encoding="utf-8")
    assert page == current
