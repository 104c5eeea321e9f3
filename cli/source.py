"""Where commands read: the database, or the API of a server, with the same answers."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from api.reads.asking import Answer, Operator, PlainRead, Read
from cli.lazy import imported
from cli.opening import opened
from cli.remote.server import has_server

if TYPE_CHECKING:
    from db.engine import Database
    from db.reads.follow import Update


class Source(Protocol):
    """Answers questions."""

    def read(self, wanted: Read[Answer]) -> Answer:
        """Return the answer to a question.

        Raises:
            RequestError: a parameter names what does not exist, or is not allowed.
        """

    def updates(
        self, job_id: uuid.UUID, *, after: int | None = 0, limit_s: float = math.inf
    ) -> Iterator[Update]:
        """Yield a job's progress and log lines until it ends, as ``db.reads.follow.follow`` does.

        Args:
            after: the id of the last known log line; None to read no log.
            limit_s: how long to follow the job, in seconds.
        """


@dataclass(frozen=True)
class DatabaseSource:
    """Answers from the database, of which a command sees everything."""

    database: Database

    def read(self, wanted: Read[Answer]) -> Answer:
        """Answer in a transaction of its own."""
        if isinstance(wanted, PlainRead):
            with self.database.reading() as connection:
                return cast("Answer", wanted.answer(connection, Operator()))
        with self.database.begin() as session:
            return wanted.answer(session, Operator())

    def updates(
        self, job_id: uuid.UUID, *, after: int | None = 0, limit_s: float = math.inf
    ) -> Iterator[Update]:
        """Follow the job; notices of the database end the pauses."""
        found = imported("cli.following:updates")(
            self.database, job_id, after=after, limit_s=limit_s
        )
        return cast("Iterator[Update]", found)


@contextmanager
def source() -> Iterator[Source]:
    """Open what a command reads: the server's API if the environment names one.

    Raises:
        click.ClickException: the URL or the token of the server cannot be used.
        DatabaseError: the database cannot be used.
    """
    if has_server():
        yield cast("Source", imported("cli.remote.source:remote_source")())
        return
    with opened() as services:
        yield DatabaseSource(services.database)


def read(wanted: Read[Answer]) -> Answer:
    """Return the answer to the only question of a command. Errors are those of ``source``."""
    with source() as opened_source:
        return opened_source.read(wanted)
