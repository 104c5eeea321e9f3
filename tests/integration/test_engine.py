"""What a restart of PostgreSQL costs, and what the text of an error tells."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError

from db.engine import Database
from tests.harness.databases import autocommit, opened_database

CONNECTIONS = 3
CUT = text("""
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
""")


def test_connections_that_were_cut_cost_one_failure(database: Database, database_url: str) -> None:
    """However many the pool has kept: the first one that fails drops them all."""
    open_at_once(database, CONNECTIONS)
    cut(database_url)
    assert sum(fails(database) for _ in range(CONNECTIONS)) == 1


def open_at_once(database: Database, count: int) -> None:
    with ExitStack() as stack:
        for _ in range(count):
            session = stack.enter_context(database.begin())
            session.execute(text("SELECT 1"))


def cut(url: str) -> None:
    """End all connections to the database but our own, as a restart of PostgreSQL does."""
    with opened_database(url) as outside, autocommit(outside) as connection:
        assert len(connection.execute(CUT).all()) >= CONNECTIONS


def fails(database: Database) -> bool:
    try:
        with database.begin() as session:
            session.execute(text("SELECT 1"))
    except OperationalError:
        return True
    return False


def test_a_disposed_pool_closes_a_connection_that_comes_back_later(database: Database) -> None:
    with database.begin() as session:
        connection = session.connection().connection.driver_connection
        database.dispose()
        session.execute(text("SELECT 1"))
    assert connection is not None
    assert connection.closed


def test_a_pool_keeps_connections_after_an_earlier_one_was_disposed(database: Database) -> None:
    open_at_once(database, CONNECTIONS)
    database.dispose()
    open_at_once(database, CONNECTIONS)
    assert database.engine.pool.checkedin() == CONNECTIONS  # type: ignore[attr-defined]


def test_an_error_does_not_tell_the_parameters_of_its_statement(database: Database) -> None:
    divide = text("SELECT 1 / CAST(:zero AS integer), CAST(:secret AS text)")
    with pytest.raises(DataError) as raised, database.begin() as session:
        session.execute(divide, {"zero": 0, "secret": "hunter2"})
    assert "hunter2" not in str(raised.value)
