"""The generated clients, by their examples: programs that start a workspace and wait for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from db.schema.tables import User
from tests.harness.api.door import Door
from tests.integration.chattool.chatting import Chat

ROOT = Path(__file__).parents[3]
BUILT = ROOT / "build" / "client"
COMMANDS = {
    "python": (BUILT / "tool" / "bin" / "python", ROOT / "clients" / "python" / "example.py"),
    "typescript": (Path(shutil.which("node") or ""), BUILT / "typescript" / "dist" / "example.js"),
}
SUCCEEDED, FAILED, REFUSED_BY_QUOTA = 0, 1, 3


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> list[str]:
    parts = COMMANDS[request.param]
    if not all(part.is_file() for part in parts):
        pytest.skip("the client is not generated: run make client, with npm for TypeScript")
    return [str(part) for part in parts]


def run(
    command: list[str], door: Door, token: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PROVISIONERD_URL": door.url,
            "PROVISIONERD_TOKEN": token,
            "POLL_S": "0.02",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_client_starts_a_workspace_until_the_quota_refuses_one(
    command: list[str], door: Door, alice: User, built: Chat
) -> None:
    token = door.token(alice)
    made = run(command, door, token, "dev", "one")
    assert made.returncode == SUCCEEDED, made.stderr
    assert "[Cleaning Up] The build succeeded." in made.stdout
    assert "one costs 60 credits per day" in made.stdout
    refused = run(command, door, token, "dev", "two")
    assert refused.returncode == REFUSED_BY_QUOTA
    assert refused.stderr.startswith("insufficient quota")


def test_a_client_is_told_that_its_token_is_not_valid(command: list[str], door: Door) -> None:
    refused = run(command, door, "nonsense", "dev", "one")
    assert refused.returncode == FAILED
    assert "logged in" not in refused.stdout
    assert refused.stderr.strip()
