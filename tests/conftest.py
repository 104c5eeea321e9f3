"""Real services for all tests: a PostgreSQL and a Redis, a database of its own for each test."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from db.engine import Database
from tests.harness.databases import fast_folder, make_template, started_servers
from tests.harness.factory import Factory
from tests.harness.leftovers import no_process_left
from tests.harness.spare import SpareDatabase
from worker.embedded import Embedded

# An example that takes long on a busy machine is not a failure.
hypothesis.settings.register_profile("provisionerd", deadline=None)
hypothesis.settings.load_profile("provisionerd")


def pytest_configure() -> None:
    """Let Ctrl+C reach what the tests start, even where it is ignored, and keep files in memory."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "TMPDIR" not in os.environ and (folder := fast_folder()):
        os.environ["TMPDIR"] = folder
        tempfile.tempdir = None  # what the module found out before


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let no garbage collection look at the modules and tests, which live until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the session when a process of its tests is left. Torn down after everything else."""
    with no_process_left(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of this host may enter, unlike ``tmp_path``."""
    folder = Path(tempfile.mkdtemp(prefix="pd-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """The embedded servers, on Unix sockets and on the loopback interface."""
    with started_servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def template_database(embedded: Embedded) -> str:
    """The name of a migrated database, to be copied."""
    return make_template(embedded)


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
def database(spare_database: SpareDatabase, database_url: str) -> Iterator[Database]:
    """The database of this test, with a pool that many threads can use."""
    with spare_database.database() as opened:
        yield opened


@pytest.fixture
def factory(database: Database) -> Factory:
    """Makes rows with one keyword per interesting fact."""
    return Factory(database=database)


@pytest.fixture(scope="session")
def terraform() -> Path:
    """The binary of Terraform or OpenTofu."""
    found = shutil.which("terraform") or shutil.which("tofu")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("neither terraform nor tofu is on the PATH")
        pytest.skip("neither terraform nor tofu is on the PATH")
    return Path(found)
