"""A cluster for each module, or for each test that harms it for good."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db.engine import open_database
from tests.conftest import _run_admin, _url
from tests.system.cluster import Cluster, install_ledger, running_cluster
from worker.embedded import Embedded


@pytest.fixture(scope="session")
def cli_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Terraform CLI configuration that finds the ledger provider."""
    return install_ledger(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="module")
def shared(embedded: Embedded, template_database: str, cli_config: Path) -> Iterator[Cluster]:
    """A cluster for all tests of a module."""
    with _cluster(embedded, template_database, cli_config) as cluster:
        yield cluster


@pytest.fixture
def cluster(embedded: Embedded, template_database: str, cli_config: Path) -> Iterator[Cluster]:
    """A cluster for one test."""
    with _cluster(embedded, template_database, cli_config) as cluster:
        yield cluster


@contextmanager
def _cluster(embedded: Embedded, template: str, cli_config: Path) -> Iterator[Cluster]:
    name = f"test_{uuid.uuid4().hex}"
    _run_admin(embedded, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    # Short: Unix sockets of providers stand below it.
    directory = Path(tempfile.mkdtemp(prefix="pd-"))
    url = f"postgresql+psycopg://postgres@127.0.0.1:{embedded.postgres_port}/{name}"
    database = open_database(_url(embedded, name), pool_size=10)
    try:
        with running_cluster(
            directory, database=database, database_url=url, cli_config=cli_config
        ) as cluster:
            yield cluster
    finally:
        database.dispose()
        _run_admin(embedded, f"DROP DATABASE {name} WITH (FORCE)")
        shutil.rmtree(directory, ignore_errors=True)
