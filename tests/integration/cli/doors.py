"""One command line with the database, and one with a server of the API: they print the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from click.testing import Result

from db.catalog.tokens import create_token
from db.engine import Database
from db.schema.tables import User
from tests.integration.cli.commandline import CommandLine

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass(frozen=True, kw_only=True)
class Doors:
    """The command line with the database, and with a server of the API."""

    marks = ("x1", "x2")  #: in names, of the database's and of the API's

    database: CommandLine
    api: CommandLine

    def alike(self, *commands: str) -> Sequence[Result]:
        """Run commands over the database and then over the API: they must print the same.

        ``{}`` stands for a mark, which is another one for each door.

        Returns:
            The results over the API.
        """
        here = [self.database(*_words(command, "x1")) for command in commands]
        there = [self.api(*_words(command, "x2")) for command in commands]
        for command, one, other in zip(commands, here, there, strict=True):
            shown, expected = _shown(other, "x2"), _shown(one, "x1")
            assert shown == expected, (command, shown, expected)
        return there


def _words(command: str, mark: str) -> list[str]:
    return shlex.split(command.replace("{}", mark))


def _shown(result: Result, mark: str) -> tuple[int, str, str]:
    texts = (result.stdout, result.stderr)
    stdout, stderr = (IDS.sub("ID", text.replace(f"-{mark}", "-{}")) for text in texts)
    return result.exit_code, stdout, stderr


def with_token(
    environment: Mapping[str, str | None], database: Database, url: str, user: User
) -> CommandLine:
    """The command line of a user who has a token and no database."""
    with database.begin() as session:
        token = create_token(session, user_id=user.id).text
    without = {"PROVISIONERD_DATABASE_URL": None, "PROVISIONERD_REDIS_URL": None}
    given = {"PROVISIONERD_URL": url, "PROVISIONERD_TOKEN": token, "PROVISIONERD_DATA_DIR": None}
    return CommandLine({**environment, **without, **given})
