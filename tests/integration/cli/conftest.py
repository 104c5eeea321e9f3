"""The command line against a database of the test's own, with builds run by the echo engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from db.catalog.people import set_site_roles
from db.engine import Database
from db.schema.tables import Organization, User
from tests.harness.api.serving import served
from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine, Unchanged
from tests.integration.cli.doors import Doors, with_token
from worker.embedded import Embedded


@pytest.fixture
def environment(database_url: str, embedded: Embedded, tmp_path: Path) -> Mapping[str, str | None]:
    """The settings of the command line; those of whoever runs the tests are left out."""
    assert embedded.redis_url is not None
    theirs: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("PROVISIONERD_")
    }
    return {
        **theirs,
        "PROVISIONERD_CONFIG": str(tmp_path / "config.toml"),
        "PROVISIONERD_DATABASE_URL": database_url,
        "PROVISIONERD_REDIS_URL": embedded.redis_url,
        "PROVISIONERD_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.fixture
def home(factory: Factory) -> Organization:
    return factory.organization(name="default", everyone_allowance=10)


@pytest.fixture
def alice(factory: Factory, home: Organization) -> User:
    return factory.user(organization=home, username="alice")


@pytest.fixture
def run(environment: Mapping[str, str | None]) -> CommandLine:
    return CommandLine(environment)


@pytest.fixture
def nothing_changes(database: Database) -> Unchanged:
    """A context in which no row may come, go or change."""

    @contextmanager
    def unchanged() -> Iterator[None]:
        before = contents(database)
        yield
        assert contents(database) == before

    return unchanged


def contents(database: Database) -> Mapping[str, list[str]]:
    """Return every row of every table, as text."""
    with database.begin() as session:
        tables = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        ).all()
        return {
            name: sorted(session.scalars(text(f'SELECT "{name}"::text FROM "{name}"')))
            for name in tables
        }


@pytest.fixture
def ada(factory: Factory, home: Organization, database: Database) -> User:
    """An owner of the site."""
    made = factory.user(organization=home, username="ada")
    with database.begin() as session:
        set_site_roles(session, session.get_one(User, made.id), ["owner"])
    return made


@pytest.fixture
def url(database: Database, embedded: Embedded) -> Iterator[str]:
    assert embedded.redis_url is not None
    with served(database, redis_url=embedded.redis_url) as (url, _site):
        yield url


@pytest.fixture
def doors(environment: Mapping[str, str | None], database: Database, url: str, ada: User) -> Doors:
    return Doors(database=CommandLine(environment), api=with_token(environment, database, url, ada))


@pytest.fixture
def member(
    environment: Mapping[str, str | None], database: Database, url: str, alice: User
) -> CommandLine:
    """The command line of alice, who has no role and no database."""
    return with_token(environment, database, url, alice)
