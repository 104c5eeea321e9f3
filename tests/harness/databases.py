"""Databases on the embedded server, and what an administrator does there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import text

from db.engine import Database, open_database
from worker.embedded import Embedded


def database_url_of(embedded: Embedded, name: str) -> str:
    """Return the URL of a database of the server, on its Unix socket."""
    assert embedded.database_url is not None
    url = sqlalchemy.make_url(embedded.database_url).set(database=name)
    return url.render_as_string(hide_password=False)


def tcp_url_of(embedded: Embedded, name: str, *, port: int | None = None) -> str:
    """Return the URL of a database over the loopback interface; ``port`` may be a proxy's."""
    return f"postgresql+psycopg://postgres@127.0.0.1:{port or embedded.postgres_port}/{name}"


@contextmanager
def opened_database(url: str, *, pool_size: int = 5) -> Iterator[Database]:
    """The database at ``url``; its connections are closed with the block."""
    database = open_database(url, pool_size=pool_size)
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
