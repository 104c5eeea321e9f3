"""Which migrations a database has, and which ones this code needs.

This reads the table that Alembic writes, without importing Alembic: that would take 5 MB of memory
in each worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from db.engine import DatabaseError
from db.texts import first_line

# SQLSTATE: an undefined column, function, object, table or schema.
_MISSING = {"42703", "42883", "42704", "42P01", "3F000"}
VERSION_TABLE = "provisionerd_migrations"
MIGRATIONS = Path(__file__).parent / "migrations"


def known_revisions() -> list[str]:
    """Return the revisions that this code knows, oldest first: the numbers of its files."""
    return sorted(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def head_revision() -> str:
    """Return the newest revision that this code knows."""
    return known_revisions()[-1]


def current_revision(engine: Engine) -> str | None:
    """Return the schema's revision, or None for a database without our tables."""
    with engine.connect() as connection:
        table = version_table(connection)
        if table is None:
            return None
        # The name is one of two constants.
        query = text(f"SELECT version_num FROM {table}")  # noqa: S608
        return connection.execute(query).scalar_one_or_none()


def version_table(connection: Connection) -> str | None:
    """Return the table that names the revision; None for a database without our tables.

    Up to 0.1.0 it was Alembic's usual one, which may also be that of the platform whose database
    this is.
    """
    found = connection.execute(
        text("""
            SELECT CASE
                WHEN to_regclass(:ours) IS NOT NULL THEN :ours
                WHEN to_regclass('provisioner_jobs') IS NOT NULL
                     AND to_regclass('alembic_version') IS NOT NULL THEN 'alembic_version'
            END
        """),
        {"ours": VERSION_TABLE},
    )
    name: str | None = found.scalar_one()
    return name


def check_migrated(engine: Engine) -> None:
    """Check that the schema has every migration that this code needs.

    A newer schema is accepted: each migration works with the code before it, so old workers keep
    working during a rolling upgrade.

    Raises:
        DatabaseError: the schema is empty or older than this code.
    """
    current = current_revision(engine)
    if current == head_revision() or (current is not None and current not in known_revisions()):
        return
    found = "is empty" if current is None else f"is at migration {current}"
    raise DatabaseError(
        f"the database {found} but this version needs {head_revision()};"
        " run `provisionerd migrate` first"
    )


@contextmanager
def explaining_old_schema() -> Iterator[None]:
    """Say what to do if a statement of the block names something that the schema lacks.

    For callers that do not check the schema when they start. A role without the right to use the
    schema gets the same answer from PostgreSQL.

    Raises:
        DatabaseError: the schema is older than this code. The transaction can only be rolled back.
    """
    try:
        yield
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _MISSING:
            raise
        raise DatabaseError(
            f"the database lacks what this version of provisionerd needs ({first_line(error)});"
            " run `provisionerd migrate`, and upgrade services that enqueue last"
        ) from error
