"""Names in the database, for the completion of words. No server is started to find them."""

from __future__ import annotations

from datetime import timedelta

from cli.opening import server_settings
from db.engine import Timeouts, open_database
from db.reads.names import list_names
from worker.embedded.postgres import running_postgres

_QUICK = Timeouts(statement=timedelta(milliseconds=400), lock=timedelta(milliseconds=100))


def find_names(kind: str, start: str, *, within: str | None) -> list[tuple[str, str]]:
    """Return names as ``db.reads.names.list_names`` does; none if no database runs."""
    settings = server_settings()
    url = settings.database_url or running_postgres(settings.data_dir)
    if url is None:
        return []
    database = open_database(
        url, pool_size=1, timeouts=_QUICK, prepared_statements=settings.prepared_statements
    )
    with database.reading() as connection:
        return list_names(connection, kind, start, within=within)
