"""Connections to PostgreSQL."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy
import sqlalchemy.event
import sqlalchemy.pool

from db.schema.place import search_path
from db.sealing.keyring import SESSION_INFO, Keyring, keyring_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Notify
    from sqlalchemy.orm import Session, sessionmaker

    Reader = Session | sqlalchemy.Connection
    """What runs a plain statement: a session, or a connection of a process without the ORM."""


MINIMUM_SERVER_VERSION = (15, 0)


class DatabaseError(Exception):
    """The database cannot be used. The message says what to do."""


@functools.cache
def sql(statement: str) -> sqlalchemy.TextClause:
    """Return the statement as a SQLAlchemy construct. It is parsed once, not at each call.

    Only for constants, because every result stays in a cache.
    """
    return sqlalchemy.text(statement)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Limits for every connection and statement, so that nothing waits for the database forever."""

    connect: timedelta = timedelta(seconds=5)
    statement: timedelta = timedelta(seconds=30)
    lock: timedelta = timedelta(seconds=2)
    idle_in_transaction: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Database:
    """One engine and its sessions. It must not be used after a fork (see ``worker.app``)."""

    engine: sqlalchemy.Engine
    keys: Keyring | None = None  #: for the secrets in the database; None: those of the environment

    @functools.cached_property
    def sessions(self) -> sessionmaker[Session]:
        """The sessions of the ORM, which a process that only reads does not import."""
        from sqlalchemy.orm import sessionmaker  # noqa: PLC0415

        return sessionmaker(self.engine, expire_on_commit=False, info={SESSION_INFO: self.keys})

    @property
    def keyring(self) -> Keyring:
        """The keys that the secrets of the sessions are sealed with."""
        return keyring_of(self.sessions())

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Run one transaction: commit at the end of the block, roll back on an exception."""
        with self.sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[sqlalchemy.Connection]:
        """Run one read-only transaction of plain statements, without the ORM."""
        with self.engine.connect() as connection:
            yield connection.execution_options(postgresql_readonly=True)

    def dispose(self) -> None:
        """Close the pool's connections; one that is in use is closed when its user returns it."""
        pool = self.engine.pool
        self.engine.dispose()
        # The engine has a new pool now. The old one would keep open what comes back to it.
        sqlalchemy.event.listen(pool, "checkin", _close_returned)
        pool.dispose()


def open_database(
    url: str,
    *,
    pool_size: int = 5,
    timeouts: Timeouts | None = None,
    prepared_statements: bool = True,
    keyring: Keyring | None = None,
) -> Database:
    """Return the database at ``url``. This does not connect yet.

    Args:
        url: ``postgresql+psycopg://...``; ``postgresql://`` and ``postgres://`` mean the same. Its
            ``options`` for the server come after ours. The tables are in the schema of
            ``PROVISIONERD_DATABASE_SCHEMA``, if it is set.
        pool_size: connections kept open; under load, twice as many may be open.
        timeouts: limits for the connections of this engine.
        prepared_statements: whether to prepare statements on the server. Set it to False behind a
            pooler that changes the server connection between transactions and does not track
            prepared statements.
        keyring: keys for the secrets in the database; when None, those of the environment.

    Raises:
        DatabaseError: the URL is not the URL of a PostgreSQL database.
    """
    parsed = _psycopg_url(url)
    engine = sqlalchemy.create_engine(
        parsed.difference_update_query(["options"]),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        # The connection that was used last: its statements are prepared and planned already.
        pool_use_lifo=True,
        # A parameter can be a state or a secret, and a user may see the text of an error.
        hide_parameters=True,
        # No ping before use: it would cost a round trip for each transaction. After a restart of
        # the server, the first statement fails, the pool drops its old connections, and callers
        # that must go on try again (db.outage).
        connect_args=_connect_arguments(
            timeouts or Timeouts(),
            prepared_statements=prepared_statements,
            options=parsed.normalized_query.get("options", ()),
        ),
    )
    sqlalchemy.event.listen(engine, "connect", _drop_notices)
    # Before SQLAlchemy's own first statement, which would fail by texts that are bytes.
    sqlalchemy.event.listen(engine, "connect", _check_encoding, insert=True)
    return Database(engine=engine, keys=keyring)


def ignore_notice(_notice: Notify) -> None:
    """Handle a notice that a connection did not ask for."""


def _drop_notices(connection: Any, _record: object) -> None:
    """Let a connection keep no notices: a pooler may give it a server connection that listens."""
    connection.add_notify_handler(ignore_notice)


def _close_returned(_connection: object, entry: sqlalchemy.pool.ConnectionPoolEntry) -> None:
    entry.close()


def _check_encoding(connection: Any, _record: object) -> None:
    """Check the encoding of the database, which the server reports when it is connected."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in {None, "UTF8"}:
        connection.close()
        raise DatabaseError(
            f"the database has the encoding {encoding}, which cannot store every text; create one"
            " with CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'"
        )


def _psycopg_url(url: str) -> sqlalchemy.URL:
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:  # the second is about the port
        raise DatabaseError(
            "the database URL cannot be read; expected postgresql://USER:PASSWORD@HOST/NAME"
        ) from error
    if parsed.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise DatabaseError(
            f"the database must be PostgreSQL, but the URL starts with {parsed.drivername}://"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _connect_arguments(
    timeouts: Timeouts, *, prepared_statements: bool, options: Sequence[str]
) -> dict[str, object]:
    def milliseconds(value: timedelta) -> int:
        return int(value.total_seconds() * 1000)

    settings = {
        "statement_timeout": milliseconds(timeouts.statement),
        "lock_timeout": milliseconds(timeouts.lock),
        "idle_in_transaction_session_timeout": milliseconds(timeouts.idle_in_transaction),
        "timezone": "UTC",
        **({"search_path": path} if (path := search_path()) else {}),
    }
    # None disables prepared statements; without the argument, psycopg's own threshold applies.
    preparing = {} if prepared_statements else {"prepare_threshold": None}
    return {
        **preparing,
        "connect_timeout": max(1, int(timeouts.connect.total_seconds())),
        "options": " ".join(
            [*(f"-c {name}={_escaped(str(value))}" for name, value in settings.items()), *options]
        ),
        "application_name": "provisionerd",
        # A peer that vanished without closing the connection is detected within half a minute.
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 20_000,
    }


def _escaped(value: str) -> str:
    """Return a value for the server's options, which are separated by spaces."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
