"""Opening the database and the broker of a process; it knows no engine, so commands start fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError

from db.engine import Database, DatabaseError, open_database
from db.schema.revision import check_migrated, current_revision, head_revision
from db.texts import first_line
from worker.embedded import start_embedded
from worker.serversettings import ServerSettings


@dataclass(frozen=True, kw_only=True)
class Services:
    """The database and the broker's address. Embedded servers run while this is open."""

    database: Database
    database_url: str
    redis_url: str  #: empty if Redis was not wanted and none is configured


@contextmanager
def open_services(
    settings: ServerSettings, *, check: bool = True, redis: bool = True
) -> Iterator[Services]:
    """Open the configured services, and start embedded servers for the others.

    An embedded database is migrated automatically; the operator migrates a configured one.

    Args:
        check: whether the schema must be up to date; False for ``migrate`` itself.
        redis: whether an embedded Redis is started if none is configured.

    Raises:
        EmbeddedError: an embedded server cannot be started.
        DatabaseError: the database cannot be reached, or lacks a migration.
    """
    with start_embedded(
        settings.data_dir,
        postgres=settings.database_url is None,
        redis=redis and settings.redis_url is None,
    ) as embedded:
        database_url = settings.database_url or embedded.database_url
        redis_url = settings.redis_url or embedded.redis_url or ""
        assert database_url is not None
        database = open_database(
            database_url,
            pool_size=settings.connections,
            prepared_statements=settings.prepared_statements,
            keyring=settings.keyring,
        )
        try:
            _prepare(database, is_embedded=settings.database_url is None, check=check)
            yield Services(database=database, database_url=database_url, redis_url=redis_url)
        finally:
            database.dispose()


def _prepare(database: Database, *, is_embedded: bool, check: bool) -> None:
    try:
        if is_embedded:
            _migrate(database)
        elif check:
            check_migrated(database.engine)
    except OperationalError as error:
        raise DatabaseError(
            f"the database cannot be reached ({first_line(error)});"
            " check PROVISIONERD_DATABASE_URL and that PostgreSQL runs"
        ) from error


def _migrate(database: Database) -> None:
    if current_revision(database.engine) == head_revision():
        return
    # Here: a process that migrates nothing does not import Alembic, which takes 5 MB.
    from db.schema.migrate import migrate  # noqa: PLC0415

    migrate(database.engine)
