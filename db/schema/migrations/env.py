"""How Alembic runs our migrations: one transaction each, on the connection of ``db.schema.migrate``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from db.schema.tables import Base


def run_migrations(connection: Connection) -> None:
    """Run the migrations that the caller asked for on its connection."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run_migrations(context.config.attributes["connection"])
