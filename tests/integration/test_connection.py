"""Plain connections: what a statement means on them, and what is left when one goes wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import text

from db.connection import PlainConnection
from db.engine import Database, open_database
from tests.harness.waiting import DEADLINE_S, wait_until

LINES = text("SELECT line FROM noted")
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
        return [row.line for row in connection.execute(LINES).all()]


def test_each_statement_is_a_transaction(table: Database) -> None:
    with table.autocommit() as connection:
        note(connection, "good")
        with pytest.raises(psycopg.errors.CheckViolation):
            note(connection, "bad")
    assert noted(table) == ["good"]


def note_together(database: Database, *lines: str) -> None:
    insert = text("INSERT INTO noted VALUES (:line)")
    with database.autocommit() as connection:
        connection.execute_together(*[(insert, {"line": line}) for line in lines])


def test_statements_that_run_together_are_committed(table: Database) -> None:
    note_together(table, "one", "two")
    assert noted(table) == ["one", "two"]


@pytest.mark.parametrize("lines", [("one", "bad"), ("bad", "one")])
def test_statements_that_run_together_fail_together(
    table: Database, lines: tuple[str, ...]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        note_together(table, *lines)
    assert noted(table) == []


def test_the_second_of_two_together_sees_what_the_first_has_waited_for(table: Database) -> None:
    with table.begin() as session:
        session.execute(text("INSERT INTO noted VALUES ('one')"))
    lock = text("SELECT 1 FROM noted FOR UPDATE")

    def read() -> str:
        with table.autocommit() as connection:
            _, lines = connection.execute_together((lock, {}), (LINES, {}))
        return str(lines.scalar_one())

    with ThreadPoolExecutor(1) as pool:
        with table.begin() as session:
            session.execute(text("UPDATE noted SET line = 'changed'"))
            answer = pool.submit(read)
            wait_until(lambda: is_anybody_waiting(table), "a wait for the row", within_s=20)
        assert answer.result(DEADLINE_S) == "changed"


def is_anybody_waiting(database: Database) -> bool:
    waiting = text("""
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """)
    with database.autocommit() as connection:
        return bool(connection.execute(waiting).scalar_one())


def test_a_failure_leaves_the_statements_after_it_usable(database_url: str) -> None:
    """Also when they were about to be prepared: psycopg notes it, and the server skips them."""
    database = open_database(database_url, pool_size=1)
    divide = text("SELECT 1 / CAST(:number AS integer)")
    count = text("SELECT count(*) FROM users")

    def run(number: int) -> int:
        with database.autocommit() as connection:
            _, counted = connection.execute_together((divide, {"number": number}), (count, {}))
        return int(counted.scalar_one())

    for _ in range(5):  # psycopg prepares what it runs for the sixth time
        run(1)
    with pytest.raises(psycopg.errors.DivisionByZero):
        run(0)
    assert run(1) == 0
    database.dispose()


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
