"""The database that tests use in turns: each of them finds it as if it were new."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text

from db.engine import Database
from db.schema.enums import LogLevel
from tests.harness.databases import opened_database
from tests.harness.factory import Factory
from tests.harness.spare import LeftOpenError, SpareDatabase
from worker.embedded import Embedded


@pytest.fixture
def spare(embedded: Embedded, template_database: str) -> Iterator[SpareDatabase]:
    made = SpareDatabase(embedded=embedded, template=template_database)
    made.url()
    yield made
    made.drop()


def use(spare: SpareDatabase, *statements: str) -> None:
    with opened_database(spare.url()) as database, database.begin() as session:
        for statement in statements:
            session.execute(text(statement))


def count_rows(database: Database) -> int:
    with database.begin() as session:
        tables = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all()
        return sum(
            session.scalar(text(f'SELECT count(*) FROM "{table}"')) or 0
            for table in tables
            if table != "provisionerd_migrations"
        )


def test_rows_are_gone_and_the_database_is_the_same(spare: SpareDatabase) -> None:
    before = spare.url()
    with opened_database(before) as database:
        Factory(database=database).finished_build()
        assert count_rows(database) > 0

    spare.clear()

    assert spare.url() == before
    with opened_database(before) as database:
        assert count_rows(database) == 0


def test_numbers_begin_anew(spare: SpareDatabase) -> None:
    insert = f"""
        INSERT INTO provisioner_job_logs (job_id, created_at, source, level, stage, output)
        SELECT id, now(), 'provisioner', '{LogLevel.INFO}', '', '' FROM provisioner_jobs
        RETURNING id
    """

    def number_of_a_line() -> int:
        with opened_database(spare.url()) as database:
            Factory(database=database).finished_build()
            with database.begin() as session:
                return int(session.execute(text(insert)).scalars().all()[0])

    first = number_of_a_line()
    spare.clear()

    assert number_of_a_line() == first


CHANGES = {
    "a table more": "CREATE TABLE noted (line text)",
    "a column more": "ALTER TABLE users ADD COLUMN noted text",
    "a constraint more": "ALTER TABLE users ADD CHECK (username <> 'x')",
    "no schema": "DROP SCHEMA public CASCADE",
    "statistics": "INSERT INTO users (username) VALUES ('x'); ANALYZE users",
    "a setting": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64',"
    " current_database()); END $$",
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_what_a_delete_does_not_undo_costs_a_fresh_copy(
    spare: SpareDatabase, statement: str
) -> None:
    before = spare.url()
    use(spare, *statement.split("; ") if "DO $$" not in statement else [statement])

    spare.clear()

    assert spare.url() != before


def test_a_connection_left_open_is_an_error_and_costs_a_fresh_copy(
    spare: SpareDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.harness.spare.LEAVING_S", 0.1)
    before = spare.url()
    plain = before.replace("postgresql+psycopg", "postgresql")
    with (
        psycopg.connect(plain, application_name="forgotten"),
        pytest.raises(LeftOpenError, match="forgotten"),
    ):
        spare.clear()

    assert spare.url() != before
