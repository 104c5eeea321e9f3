"""What the tests of the command line share: a way to run it, and workers for it to find."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import text

from cli.main import cli
from db.engine import Database

Unchanged = Callable[[], AbstractContextManager[None]]  #: see the fixture nothing_changes


@dataclass(frozen=True)
class CommandLine:
    """Runs ``provisionerd`` in this process."""

    environment: Mapping[str, str | None]

    def __call__(self, *arguments: str, **settings: str) -> Result:
        return self.piped(b"", *arguments, **settings)

    def piped(self, stdin: bytes, *arguments: str, **settings: str) -> Result:
        given = {f"PROVISIONERD_{name.upper()}": value for name, value in settings.items()}
        runner = CliRunner(env={**self.environment, **given})
        return runner.invoke(cli, list(arguments), input=stdin)

    def json(self, *arguments: str) -> Any:
        result = self(*arguments, "--output", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def age_workers(database: Database) -> None:
    """Let the workers have vanished an hour ago."""
    with database.begin() as session:
        session.execute(
            text("UPDATE provisioner_daemons SET last_seen_at = now() - interval '1 hour'")
        )


def refused(result: Result, sentence: str) -> None:
    """Assert that a command said no in one sentence: status 1, nothing on standard output."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert sentence in lines[0]
