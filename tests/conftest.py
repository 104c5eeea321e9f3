"""Real services for all tests: a PostgreSQL and a Redis, a database of its own for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import text

from db.engine import Database, open_database
from db.schema.migrate import migrate
from tests.factory import Factory
from worker.embedded import Embedded, start_embedded

TEMPLATE = "provisionerd_template"
ENOUGH_BYTES = 2 * 1024**3


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """The embedded servers, on Unix sockets and on the loopback interface."""
    # Not pytest's tmp_path: under root it is closed to the user that PostgreSQL runs as.
    data_dir = Path(tempfile.mkdtemp(prefix="provisionerd-tests-", dir=_fast_folder()))
    data_dir.chmod(0o711)
    try:
        with start_embedded(data_dir, tcp=True) as servers:
            # Only a crash of the whole machine would tell the difference.
            _run_admin(servers, "ALTER SYSTEM SET fsync = off")
            _run_admin(servers, "ALTER SYSTEM SET full_page_writes = off")
            _run_admin(servers, "SELECT pg_reload_conf()")
            yield servers
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(embedded: Embedded) -> str:
    """The name of a migrated database, to be copied."""
    _run_admin(embedded, f"CREATE DATABASE {TEMPLATE}")
    database = open_database(_url(embedded, TEMPLATE))
    migrate(database.engine)
    database.dispose()
    return TEMPLATE


@pytest.fixture
def database_url(embedded: Embedded, template_database: str) -> Iterator[str]:
    """The URL of an empty, migrated database for this test alone."""
    name = f"test_{uuid.uuid4().hex}"
    _run_admin(embedded, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY FILE_COPY")
    yield _url(embedded, name)
    _run_admin(embedded, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database of this test, with a pool that many threads can use."""
    opened = open_database(database_url, pool_size=40)
    yield opened
    opened.dispose()


@pytest.fixture
def factory(database: Database) -> Factory:
    """Makes rows with one keyword per interesting fact."""
    return Factory(database=database)


def _fast_folder() -> str | None:
    """Return a folder in memory if there is one with room: a database then costs 12 ms, not 130."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ENOUGH_BYTES:
        return str(memory)
    return None


def _url(embedded: Embedded, name: str) -> str:
    assert embedded.database_url is not None
    return (
        sqlalchemy.make_url(embedded.database_url)
        .set(database=name)
        .render_as_string(hide_password=False)
    )


def _run_admin(embedded: Embedded, statement: str) -> None:
    assert embedded.database_url is not None
    engine = sqlalchemy.create_engine(embedded.database_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()
