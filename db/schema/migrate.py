"""Upgrading the schema. ``db.schema.revision`` checks without Alembic whether it is current."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from db.schema.place import quoted, schema_of_tables
from db.schema.revision import MIGRATIONS, VERSION_TABLE, version_table

ADVISORY_LOCK = 7_203_482_611
POLL_S = 0.1


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade the schema to ``revision``. Several callers at the same time take turns.

    Raises:
        sqlalchemy.exc.DBAPIError: a migration failed; its transaction was rolled back.
    """
    with engine.connect() as connection, _turn(connection):
        _make_schema(connection)
        _adopt_version_table(connection)
        _stay_in_schema(connection)
        command.upgrade(_config(connection), revision)


def _make_schema(connection: Connection) -> None:
    """Make the schema that is set for the tables, if it is missing."""
    if schema := schema_of_tables():
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}"))
    connection.commit()


def _adopt_version_table(connection: Connection) -> None:
    """Give the table of revisions its own name, if it still has the usual one of Alembic.

    Workers of 0.1.0 read it by the old name. The view cannot be written to, in case another
    program takes it for its own.
    """
    if version_table(connection) == "alembic_version":
        connection.execute(text(f"ALTER TABLE alembic_version RENAME TO {VERSION_TABLE}"))
        connection.execute(
            text(
                f"CREATE VIEW alembic_version AS SELECT DISTINCT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
            )
        )
        connection.execute(text("GRANT SELECT ON alembic_version TO PUBLIC"))
    connection.commit()


def _stay_in_schema(connection: Connection) -> None:
    """Let all migrations work in the schema of our tables; the first one, in the current schema.

    0028 makes a schema for the functions. Its name is a usual one of roles, and the schema of its
    own name comes first on the path of a role.
    """
    found = text("""
        SELECT coalesce(min(relnamespace::regnamespace::text), quote_ident(current_schema()))
        FROM pg_class WHERE oid = to_regclass(:versions)
    """)
    if schema := connection.scalar(found, {"versions": VERSION_TABLE}):
        connection.execute(text(f"SET search_path = {schema}"))
    connection.commit()


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
        connection.execute(text("RESET search_path"))
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
