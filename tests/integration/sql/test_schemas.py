"""Our tables in the database of a platform, next to its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy
from sqlalchemy import text

from db.engine import Database, open_database
from db.schema.enums import Transition
from db.schema.migrate import migrate
from db.schema.revision import check_migrated, current_revision, head_revision
from tests.harness.databases import (
    copied_database,
    database_url_of,
    new_database,
    opened_database,
    run_admin,
)
from tests.harness.factory import Factory
from worker.embedded import Embedded
from worker.enqueue import enqueue_build

THEIRS = """
    CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('0001');
    CREATE TABLE users (id int PRIMARY KEY, name text);
    INSERT INTO users VALUES (1, 'theirs');
"""


@pytest.fixture
def platform(embedded: Embedded) -> Iterator[str]:
    """The URL of a database with a platform's tables."""
    with copied_database(embedded, "template1") as name:
        url = database_url_of(embedded, name)
        with opened_database(url) as database, database.begin() as session:
            session.execute(text(THEIRS))
        yield url


@pytest.fixture
def ours(platform: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Our tables there, in a schema of their own."""
    monkeypatch.setenv("PROVISIONERD_DATABASE_SCHEMA", "work spaces")
    with opened_database(platform) as database:
        migrate(database.engine)
        yield database


def test_the_platform_s_tables_stay_as_they_were(ours: Database, platform: str) -> None:
    check_migrated(ours.engine)
    with ours.begin() as session:
        assert session.execute(text("SELECT name FROM public.users")).scalars().all() == ["theirs"]
        found = session.execute(text("SELECT version_num FROM public.alembic_version"))
        assert found.scalars().all() == ["0001"]
        assert session.execute(text("SELECT current_schema()")).scalar_one() == "work spaces"


def test_a_build_is_enqueued_and_claimed_there(ours: Database) -> None:
    factory = Factory(database=ours)
    workspace = factory.any_workspace()
    factory.build(workspace)
    assert factory.claim() is not None


def test_the_function_is_found_by_its_documented_name(ours: Database, platform: str) -> None:
    workspace = Factory(database=ours).any_workspace()
    engine = sqlalchemy.create_engine(platform)
    with engine.begin() as connection:
        row = connection.execute(
            text("SELECT * FROM provisionerd.enqueue_build(:id, 'start')"), {"id": workspace.id}
        ).one()
    engine.dispose()
    assert row.build_number == 1


def test_a_session_of_the_platform_enqueues(ours: Database, platform: str) -> None:
    workspace = Factory(database=ours).any_workspace()
    engine = sqlalchemy.create_engine(platform)
    with sqlalchemy.orm.Session(engine) as session, session.begin():
        build = enqueue_build(
            session,
            workspace_id=workspace.id,
            transition=Transition.START,
            ring=lambda _queue: True,
        )
    engine.dispose()
    assert build.build_number == 1


def test_a_database_without_our_tables_is_empty_whatever_else_it_has(platform: str) -> None:
    with opened_database(platform) as database:
        assert current_revision(database.engine) is None


def test_options_of_the_url_are_kept(embedded: Embedded) -> None:
    with copied_database(embedded, "template1") as name:
        url = sqlalchemy.make_url(database_url_of(embedded, name)).update_query_dict(
            {"options": "-csearch_path=elsewhere"}
        )
        database = open_database(url.render_as_string(hide_password=False))
        with database.begin() as session:
            assert session.execute(text("SHOW search_path")).scalar_one() == "elsewhere"
            assert session.execute(text("SHOW lock_timeout")).scalar_one() == "2s"
        database.dispose()


def test_the_table_of_revisions_of_a_release_is_adopted(
    embedded: Embedded, template_database: str
) -> None:
    name = new_database(embedded, template_database)
    with opened_database(database_url_of(embedded, name)) as database:
        with database.begin() as session:
            session.execute(text("ALTER TABLE provisionerd_migrations RENAME TO alembic_version"))
        assert current_revision(database.engine) == head_revision()
        migrate(database.engine)
        with database.begin() as session:
            old = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        assert (old, current_revision(database.engine)) == (head_revision(), head_revision())
    run_admin(embedded, f"DROP DATABASE {name} WITH (FORCE)")


def test_tables_stay_where_they_are_for_a_role_of_the_name_of_the_functions_schema(
    embedded: Embedded,
) -> None:
    """Once 0028 has made it, it comes first on the usual path, ``"$user", public``."""
    with copied_database(embedded, "template1") as name:
        run_admin(embedded, f"ALTER DATABASE {name} SET search_path = provisionerd, public")
        with opened_database(database_url_of(embedded, name)) as database:
            migrate(database.engine, "0028")
            migrate(database.engine)
            with database.begin() as session:
                found = session.execute(text("SELECT DISTINCT schemaname FROM pg_tables"))
                schemas = set(found.scalars()) - {"pg_catalog", "information_schema"}
            assert schemas == {"public"}
            Factory(database=database).finished_build()
