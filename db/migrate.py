"""Bring the schema up to date, and tell whether it is."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from db.engine import DatabaseError

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade the schema to ``revision``; several callers at once take turns.

    Raises:
        sqlalchemy.exc.DBAPIError: a migration failed; its transaction was rolled back.
    """
    with engine.connect() as connection:
        command.upgrade(_config(connection), revision)


def current_revision(engine: Engine) -> str | None:
    """Return the schema's revision, or None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """Return the revision that this code was written for."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def check_migrated(engine: Engine) -> None:
    """Refuse to work on a schema that lacks a migration.

    A schema that is *ahead* is accepted: each migration works with the code before it, so old
    workers go on during a rolling upgrade.

    Raises:
        DatabaseError: the schema is empty or older than this code.
    """
    current = current_revision(engine)
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    if current == head_revision() or (current is not None and current not in known):
        return
    found = "is empty" if current is None else f"is at migration {current}"
    raise DatabaseError(
        f"the database {found} but this version needs {head_revision()};"
        " run `provisionerd migrate` first"
    )


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
