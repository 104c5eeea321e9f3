"""Real services for all tests: a PostgreSQL and a Redis, a database of its own for each test."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from db.engine import Database
from db.schema.migrate import migrate
from tests.harness.databases import database_url_of, opened_database, run_admin
from tests.harness.factory import Factory
from tests.harness.leftovers import no_process_left
from tests.harness.spare import SpareDatabase
from worker.embedded import Embedded, start_embedded

TEMPLATE = "provisionerd_template"
ENOUGH_BYTES = 2 * 1024**3

# An example that takes long on a busy machine is not a failure.
hypothesis.settings.register_profile("provisionerd", deadline=None)
hypothesis.settings.load_profile("provisionerd")


def pytest_configure() -> None:
    """Let Ctrl+C reach what the tests start, also when whoever started them has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the session when a process of its tests is left. Torn down after everything else."""
    with no_process_left(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """The embedded servers, on Unix sockets and on the loopback interface."""
    # Not pytest's tmp_path: under root it is closed to the user that PostgreSQL runs as.
    data_dir = Path(tempfile.mkdtemp(prefix="provisionerd-tests-", dir=_fast_folder()))
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


@pytest.fixture(scope="session")
def template_database(embedded: Embedded) -> str:
    """The name of a migrated database, to be copied."""
    run_admin(embedded, f"CREATE DATABASE {TEMPLATE}")
    with opened_database(database_url_of(embedded, TEMPLATE)) as database:
        migrate(database.engine)
    return TEMPLATE


@pytest.fixture(scope="session")
def spare_database(embedded: Embedded, template_database: str) -> Iterator[SpareDatabase]:
    """The database that the tests use in turns."""
    spare = SpareDatabase(embedded=embedded, template=template_database)
    yield spare
    spare.drop()


@pytest.fixture
def database_url(spare_database: SpareDatabase) -> Iterator[str]:
    """The URL of an empty, migrated database for this test alone."""
    yield spare_database.url()
    spare_database.clear()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database of this test, with a pool that many threads can use."""
    with opened_database(database_url, pool_size=40) as opened:
        yield opened


@pytest.fixture
def factory(database: Database) -> Factory:
    """Makes rows with one keyword per interesting fact."""
    return Factory(database=database)


def _fast_folder() -> str | None:
    """Return a folder in memory if there is one with room."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ENOUGH_BYTES:
        return str(memory)
    return None
