"""Connections to PostgreSQL."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy.orm import Session, sessionmaker

if TYPE_CHECKING:
    from collections.abc import Iterator

MINIMUM_SERVER_VERSION = (15, 0)


class DatabaseError(Exception):
    """The database cannot be used; the message says what to do."""


@functools.cache
def sql(statement: str) -> sqlalchemy.TextClause:
    """Return the statement, taken apart for its parameters once and not at each call.

    For constants only: what it returns is kept.
    """
    return sqlalchemy.text(statement)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Bounds on every statement, so that nothing waits for the database without end."""

    connect: timedelta = timedelta(seconds=5)
    statement: timedelta = timedelta(seconds=30)
    lock: timedelta = timedelta(seconds=2)
    idle_in_transaction: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Database:
    """One engine and the sessions on it. Not to be carried across a fork (see ``worker.app``)."""

    engine: sqlalchemy.Engine
    sessions: sessionmaker[Session]

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Run one transaction: committed at the end of the block, rolled back by an exception."""
        with self.sessions.begin() as session:
            yield session

    def dispose(self) -> None:
        """Close the pool's connections."""
        self.engine.dispose()


def open_database(
    url: str,
    *,
    pool_size: int = 5,
    timeouts: Timeouts | None = None,
    prepared_statements: bool = True,
) -> Database:
    """Return the database at ``url``, without connecting yet.

    Args:
        url: ``postgresql+psycopg://...``; plain ``postgresql://`` and ``postgres://`` are
            taken as that.
        pool_size: connections kept open; twice as many may be opened under load.
        timeouts: bounds for connections of this engine.
        prepared_statements: whether the server may keep plans for a connection. Not behind a
            pooler that gives each transaction another server connection and cannot follow them.

    Raises:
        DatabaseError: the URL is not one of a PostgreSQL database.
    """
    engine = sqlalchemy.create_engine(
        _psycopg_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        # They can be a state or a secret, and the text of an error can come before a user.
        hide_parameters=True,
        # No ping before use, which would be a round trip for each transaction: the first statement
        # on a connection that a restart cut fails, the pool drops all of its age, and whoever has
        # to go on tries again (db.outage).
        connect_args=_connect_arguments(
            timeouts or Timeouts(), prepared_statements=prepared_statements
        ),
    )
    return Database(
        engine=engine,
        sessions=sessionmaker(engine, expire_on_commit=False),
    )


def _psycopg_url(url: str) -> sqlalchemy.URL:
    try:
        parsed = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError as error:
        raise DatabaseError(
            "the database URL cannot be read; expected postgresql://USER:PASSWORD@HOST/NAME"
        ) from error
    if parsed.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise DatabaseError(
            f"the database must be PostgreSQL, but the URL starts with {parsed.drivername}://"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _connect_arguments(timeouts: Timeouts, *, prepared_statements: bool) -> dict[str, object]:
    def milliseconds(value: timedelta) -> int:
        return int(value.total_seconds() * 1000)

    settings = {
        "statement_timeout": milliseconds(timeouts.statement),
        "lock_timeout": milliseconds(timeouts.lock),
        "idle_in_transaction_session_timeout": milliseconds(timeouts.idle_in_transaction),
        "timezone": "UTC",
    }
    # psycopg's word for never; without it, psycopg's own number of uses holds.
    preparing = {} if prepared_statements else {"prepare_threshold": None}
    return {
        **preparing,
        "connect_timeout": max(1, int(timeouts.connect.total_seconds())),
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "application_name": "provisionerd",
        # A peer that vanished without a word is noticed within half a minute.
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 20_000,
    }
