from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from db.engine import Database, DatabaseError, open_database
from db.schema.migrate import migrate
from db.schema.revision import (
    MIGRATIONS,
    VERSION_TABLE,
    check_migrated,
    current_revision,
    head_revision,
    known_revisions,
)
from db.schema.tables import Base
from worker.embedded import Embedded

DEADLINE_S = 30


@pytest.fixture
def empty(embedded: Embedded) -> Iterator[Database]:
    """A database without a schema."""
    assert embedded.database_url is not None
    url = sqlalchemy.make_url(embedded.database_url)
    name = f"empty_{uuid.uuid4().hex}"
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    database = open_database(url.set(database=name).render_as_string(hide_password=False))
    yield database
    database.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def setting(database: Database, name: str) -> str:
    with database.begin() as session:
        return str(session.execute(text(f"SHOW {name}")).scalar_one())


def test_an_upgraded_empty_database_is_what_the_models_say(empty: Database) -> None:
    migrate(empty.engine)
    with empty.engine.connect() as connection:
        options = {"compare_server_default": True, "version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_enums_in_the_database_are_those_of_the_models(empty: Database) -> None:
    migrate(empty.engine)
    with empty.begin() as session:
        stored = {
            row.name: list(row.labels)
            for row in session.execute(
                text("""
                    SELECT t.typname AS name,
                           array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
                    FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
                    GROUP BY t.typname
                """)
            )
        }
    types = [column.type for table in Base.metadata.tables.values() for column in table.columns]
    modelled = {
        kind.name: kind.enums
        for kind in [getattr(kind, "item_type", kind) for kind in types]
        if isinstance(kind, sqlalchemy.Enum)
    }
    assert stored == modelled


def test_the_status_of_a_job_is_derived_as_the_model_says(empty: Database) -> None:
    migrate(empty.engine)
    modelled = Base.metadata.tables["provisioner_jobs"].c.job_status.computed
    assert modelled is not None
    expression = text("""
        SELECT pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attrdef d
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE a.attname = 'job_status' AND d.adrelid = CAST(:table AS regclass)
    """)
    with empty.begin() as session:
        # compare_metadata does not look at generated columns.
        session.execute(
            text(f"""
                CREATE TEMPORARY TABLE modelled (
                    completed_at timestamptz, canceled_at timestamptz, started_at timestamptz,
                    error text,
                    job_status provisioner_job_status
                        GENERATED ALWAYS AS ({modelled.sqltext}) STORED
                )
            """)
        )
        stored, wanted = (
            session.execute(expression, {"table": table}).scalar_one()
            for table in ("provisioner_jobs", "modelled")
        )
    assert stored == wanted


def test_the_checks_in_the_database_are_those_of_the_models(empty: Database) -> None:
    migrate(empty.engine)
    constraints = text("""
        SELECT conrelid::regclass::text || '.' || conname || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE contype = 'c' AND connamespace = current_schema()::regnamespace
    """)
    with empty.begin() as session:
        stored = set(session.execute(constraints).scalars())
        session.execute(text("CREATE SCHEMA modelled"))
        session.execute(text("SET LOCAL search_path = modelled"))
        Base.metadata.create_all(session.connection())
        modelled = set(session.execute(constraints).scalars())
    # compare_metadata does not look at check constraints.
    assert stored == modelled


def test_there_is_one_line_of_migrations() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert script.get_heads() == [head_revision()]


def test_the_known_revisions_are_those_of_alembic() -> None:
    revisions = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    assert known_revisions() == revisions[::-1]


def test_every_migration_says_what_it_is(empty: Database) -> None:
    assert all(script.doc for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())


def test_migrating_twice_changes_nothing(empty: Database) -> None:
    migrate(empty.engine)
    migrate(empty.engine)
    assert current_revision(empty.engine) == head_revision()


def test_callers_that_migrate_at_once_take_turns(empty: Database) -> None:
    barrier = threading.Barrier(4)

    def caller(_number: int) -> None:
        barrier.wait(DEADLINE_S)
        migrate(empty.engine)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(caller, range(4), timeout=DEADLINE_S))
    assert current_revision(empty.engine) == head_revision()


def test_a_connection_keeps_its_bounds_after_a_migration(empty: Database) -> None:
    before = [setting(empty, name) for name in ("statement_timeout", "lock_timeout")]
    migrate(empty.engine)
    assert [setting(empty, name) for name in ("statement_timeout", "lock_timeout")] == before


def test_the_lock_is_given_back(empty: Database) -> None:
    migrate(empty.engine)
    with empty.begin() as session:
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert session.execute(text(held)).scalar_one() == 0


def test_an_empty_database_has_no_revision(empty: Database) -> None:
    assert current_revision(empty.engine) is None


def test_work_on_an_empty_database_is_refused_with_what_to_do(empty: Database) -> None:
    with pytest.raises(DatabaseError) as refused:
        check_migrated(empty.engine)
    assert str(refused.value) == (
        f"the database is empty but this version needs {head_revision()};"
        " run `provisionerd migrate` first"
    )


def test_a_migrated_database_is_accepted(database: Database) -> None:
    check_migrated(database.engine)


def test_a_database_that_is_ahead_is_accepted(database: Database) -> None:
    with database.begin() as session:
        session.execute(
            text("UPDATE provisionerd_migrations SET version_num = 'of a later release'")
        )
    check_migrated(database.engine)


@pytest.mark.parametrize(
    "url",
    ["not a url", "sqlite:///x", "mysql://u:p@h/n", "postgresql+asyncpg://u:p@h/n"],
)
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError):
        open_database(url)


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(DatabaseError) as refused:
        open_database("mysql://u:hunter2@h/n")
    assert "hunter2" not in str(refused.value)
