"""Embedded servers for tests, databases on them, and what an administrator does there."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from sqlalchemy import text

from db.engine import Database, open_database
from db.schema.migrate import migrate
from db.sealing.keyring import Keyring
from worker.embedded import Embedded, start_embedded

TEMPLATE = "provisionerd_template"
ENOUGH_BYTES = 2 * 1024**3


@contextmanager
def started_servers() -> Iterator[Embedded]:
    """A PostgreSQL and a Redis for tests, on Unix sockets and on the loopback interface."""
    # Not pytest's tmp_path: under root it is closed to the user that PostgreSQL runs as.
    data_dir = Path(tempfile.mkdtemp(prefix="provisionerd-tests-", dir=fast_folder()))
    data_dir.chmod(0o711)
    try:
        with start_embedded(data_dir, tcp=True) as servers:
            # Only a crash of the whole machine would tell the difference.
            run_admin(servers, "ALTER SYSTEM SET fsync = off")
            run_admin(servers, "ALTER SYSTEM SET full_page_writes = off")
            # So that a plan depends on nothing but the rows of its test.
            run_admin(servers, "ALTER SYSTEM SET autovacuum = off")
            run_admin(servers, "SELECT pg_reload_conf()")
            yield servers
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def make_template(embedded: Embedded) -> str:
    """Make a migrated database, to be copied, and return its name."""
    run_admin(embedded, f"CREATE DATABASE {TEMPLATE}")
    with opened_database(database_url_of(embedded, TEMPLATE)) as database:
        migrate(database.engine)
    return TEMPLATE


def database_url_of(embedded: Embedded, name: str) -> str:
    """Return the URL of a database of the server, on its Unix socket."""
    assert embedded.database_url is not None
    url = sqlalchemy.make_url(embedded.database_url).set(database=name)
    return url.render_as_string(hide_password=False)


def tcp_url_of(embedded: Embedded, name: str, *, port: int | None = None) -> str:
    """Return the URL of a database over the loopback interface; ``port`` may be a proxy's."""
    return f"postgresql+psycopg://postgres@127.0.0.1:{port or embedded.postgres_port}/{name}"


@contextmanager
def opened_database(
    url: str, *, pool_size: int = 5, keyring: Keyring | None = None
) -> Iterator[Database]:
    """The database at ``url``; its connections are closed with the block."""
    database = open_database(url, pool_size=pool_size, keyring=keyring)
    try:
        yield database
    finally:
        database.dispose()


@contextmanager
def copied_database(embedded: Embedded, template: str) -> Iterator[str]:
    """The name of a copy of ``template``; it is dropped with the block."""
    name = new_database(embedded, template)
    try:
        yield name
    finally:
        run_admin(embedded, f"DROP DATABASE {name} WITH (FORCE)")


def new_database(embedded: Embedded, template: str) -> str:
    """Copy ``template`` and return the name of the copy."""
    name = f"test_{uuid.uuid4().hex}"
    run_admin(embedded, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return name


@contextmanager
def autocommit(database: Database) -> Iterator[sqlalchemy.Connection]:
    """A connection for statements that run outside of a transaction, as VACUUM does."""
    with database.engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def run_admin(embedded: Embedded, statement: str) -> None:
    """Run a statement as the server's administrator, outside of a transaction."""
    assert embedded.database_url is not None
    engine = sqlalchemy.create_engine(embedded.database_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def fast_folder() -> str | None:
    """Return a folder in memory if there is one with room."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ENOUGH_BYTES:
        return str(memory)
    return None
