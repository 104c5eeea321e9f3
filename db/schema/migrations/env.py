"""Runs the migrations, each in a transaction, on the connection of ``db.schema.migrate``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from db.schema.revision import VERSION_TABLE
from db.schema.tables import Base


def run_migrations(connection: Connection) -> None:
    """Run the requested migrations on the connection of the caller."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # In a platform's database, the usual name may be that of the platform's own migrations.
        version_table=VERSION_TABLE,
        transaction_per_migration=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run_migrations(context.config.attributes["connection"])
