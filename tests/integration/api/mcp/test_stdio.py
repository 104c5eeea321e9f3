"""``provisionerd mcp``: the tools over standard input and output of a real process."""

from __future__ import annotations

import os
import subprocess
import sys

from db.schema.tables import User
from tests.harness.api.door import Door
from tests.harness.mcp.client import Agent, ask, by_stdio
from tests.integration.chattool.chatting import Chat

COMMAND = (sys.executable, "-m", "cli.main", "mcp")


def environment(door: Door) -> dict[str, str]:
    assert door.site.redis_url is not None
    return {
        **os.environ,
        "PROVISIONERD_DATABASE_URL": door.factory.database.engine.url.render_as_string(
            hide_password=False
        ),
        "PROVISIONERD_REDIS_URL": door.site.redis_url,
    }


def test_tools_are_called_over_standard_input(door: Door, alice: User, built: Chat) -> None:
    async def doing(agent: Agent) -> tuple[str, list[str]]:
        made = await agent.call("create_workspace", template="dev", name="box")
        return made["status"], agent.progress

    transport = by_stdio(
        COMMAND[0],
        *COMMAND[1:],
        "--owner",
        "alice",
        "--organization",
        "acme",
        env=environment(door),
    )
    status, progress = ask(transport, doing)
    assert status == "succeeded"
    assert progress


def test_the_process_ends_without_a_word_when_its_input_ends(door: Door, alice: User) -> None:
    ended = subprocess.run(
        [*COMMAND, "--owner", "alice", "--organization", "acme"],
        env=environment(door),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_an_unknown_owner_is_one_sentence(door: Door) -> None:
    ended = subprocess.run(
        [*COMMAND, "--owner", "nobody"],
        env=environment(door),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
