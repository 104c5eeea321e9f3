"""How Alembic runs our migrations: one transaction each, one caller at a time, no long waits."""

from __future__ import annotations

import time

from alembic import context
from sqlalchemy import Connection, text

from db.models import Base

ADVISORY_LOCK = 7_203_482_611
TURN_POLL_S = 0.2


def run_migrations(connection: Connection) -> None:
    """Run the migrations that the caller asked for on its connection."""
    # The lock is the session's, so that it spans the transactions of all migrations. A second
    # `provisionerd migrate` waits for the first, then finds nothing to do.
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text("SET lock_timeout = 0"))
    _take_turn(connection)
    # A migration that cannot get its lock fails, instead of stopping every build behind it.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            transaction_per_migration=True,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        # The connection goes back to a pool, whose users count on their own bounds.
        connection.execute(text("RESET statement_timeout"))
        connection.execute(text("RESET lock_timeout"))
        connection.commit()


def _take_turn(connection: Connection) -> None:
    # Asking again, in a transaction of its own each time: a session that waits in
    # pg_advisory_lock holds a snapshot, for which CREATE INDEX CONCURRENTLY in the session that
    # has the lock would wait in turn, until PostgreSQL calls it a deadlock.
    query = text("SELECT pg_try_advisory_lock(:key)")
    while not connection.execute(query, {"key": ADVISORY_LOCK}).scalar_one():
        connection.commit()
        time.sleep(TURN_POLL_S)


run_migrations(context.config.attributes["connection"])
