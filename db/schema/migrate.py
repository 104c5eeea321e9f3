"""Upgrading the schema. ``db.schema.revision`` checks without Alembic whether it is current."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from db.schema.revision import MIGRATIONS

ADVISORY_LOCK = 7_203_482_611
POLL_S = 0.1


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade the schema to ``revision``. Several callers at the same time take turns.

    Raises:
        sqlalchemy.exc.DBAPIError: a migration failed; its transaction was rolled back.
    """
    with engine.connect() as connection, _turn(connection):
        command.upgrade(_config(connection), revision)


@contextmanager
def _turn(connection: Connection) -> Iterator[None]:
    """Hold the lock of migrations. Others wait for it without a time limit.

    The lock belongs to the session, so that it spans the transactions of all migrations. It is
    taken before Alembic starts, because Alembic must not run twice at the same time in one process.
    """
    while not _take_turn(connection):
        time.sleep(POLL_S)
    connection.execute(text("SET statement_timeout = 0"))
    # A migration that cannot get a lock must fail, or every build would wait behind it.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        # The connection goes back to the pool, whose users rely on the usual timeouts.
        connection.execute(text("RESET statement_timeout"))
        connection.execute(text("RESET lock_timeout"))
        connection.commit()


def _take_turn(connection: Connection) -> bool:
    # Polled, to avoid a deadlock: a statement that waits for the lock holds a snapshot, and a
    # CREATE INDEX CONCURRENTLY of the lock's holder waits for all snapshots to end.
    turn = text("SELECT pg_try_advisory_lock(:key)")
    taken = bool(connection.execute(turn, {"key": ADVISORY_LOCK}).scalar_one())
    connection.commit()
    return taken


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
