"""Plain connections: what a statement means on them, and what is left when one goes wrong."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text

from db.connection import PlainConnection
from db.engine import Database, open_database

NAMES = text("SELECT name FROM users ORDER BY name")


@pytest.fixture
def table(database: Database) -> Database:
    with database.begin() as session:
        session.execute(text("CREATE TABLE noted (line text CHECK (line <> 'bad'))"))
    return database


def note(connection: PlainConnection, line: str) -> None:
    connection.execute(text("INSERT INTO noted VALUES (:line)"), {"line": line})


def noted(database: Database) -> list[str]:
    with database.autocommit() as connection:
        return [row.line for row in connection.execute(text("SELECT line FROM noted")).all()]


def test_each_statement_is_a_transaction(table: Database) -> None:
    with table.autocommit() as connection:
        note(connection, "good")
        with pytest.raises(psycopg.errors.CheckViolation):
            note(connection, "bad")
    assert noted(table) == ["good"]


def test_a_transaction_is_committed_at_its_end(table: Database) -> None:
    with table.autocommit() as connection, connection.transaction():
        note(connection, "one")
        note(connection, "two")
    assert noted(table) == ["one", "two"]


def test_a_transaction_that_fails_leaves_nothing(table: Database) -> None:
    def one_and_bad() -> None:
        with table.autocommit() as connection, connection.transaction():
            note(connection, "one")
            note(connection, "bad")

    with pytest.raises(psycopg.errors.CheckViolation):
        one_and_bad()
    assert noted(table) == []


def test_a_transaction_is_rolled_back_by_an_exception(table: Database) -> None:
    def one_and_out() -> None:
        with table.autocommit() as connection, connection.transaction():
            note(connection, "one")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        one_and_out()
    assert noted(table) == []


def test_a_connection_whose_isolation_level_was_chosen_commits_again(table: Database) -> None:
    with table.engine.connect() as connection:
        connection.execution_options(isolation_level="SERIALIZABLE")
        connection.execute(NAMES)
    with table.autocommit() as plain:
        note(plain, "one")
    assert noted(table) == ["one"]


def test_a_session_rolls_back_what_it_did_not_commit(table: Database) -> None:
    with table.sessions() as session:
        session.execute(text("INSERT INTO noted VALUES ('one')"))
    assert noted(table) == []


@pytest.mark.parametrize(
    ("rows", "read"),
    [
        (0, lambda result: result.one()),
        (2, lambda result: result.one()),
        (2, lambda result: result.one_or_none()),
        (0, lambda result: result.scalar_one()),
    ],
    ids=["none of one", "two of one", "two of one or none", "none of one scalar"],
)
def test_a_number_of_rows_that_was_not_expected_is_an_error(
    database: Database, rows: int, read
) -> None:
    with database.autocommit() as connection, pytest.raises(LookupError):
        read(connection.execute(text("SELECT generate_series(1, :rows)"), {"rows": rows}))


def test_connections_that_were_cut_cost_one_failure(database: Database, database_url: str) -> None:
    """However many the pool has kept: the first one that fails drops them all."""
    with database.autocommit(), database.autocommit(), database.autocommit():
        pass
    cut(database_url)
    failures = 0
    for _ in range(3):
        try:
            with database.autocommit() as connection:
                connection.execute(NAMES)
        except psycopg.OperationalError:
            failures += 1
    assert failures == 1


def cut(url: str) -> None:
    """End all connections to the database but our own, as a restart of PostgreSQL does."""
    others = text("""
        SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """)
    outside = open_database(url)
    with outside.autocommit() as connection:
        assert len(connection.execute(others).all()) >= 3
    outside.dispose()
