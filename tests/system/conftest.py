"""A cluster for each module, or for each test that harms it for good."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster, running_cluster
from tests.harness.databases import (
    copied_database,
    database_url_of,
    opened_database,
    tcp_url_of,
)
from tests.harness.ledger import install_ledger
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
    # Short: Unix sockets of providers stand below it.
    directory = Path(tempfile.mkdtemp(prefix="pd-"))
    try:
        with (
            copied_database(embedded, template) as name,
            opened_database(database_url_of(embedded, name), pool_size=10) as database,
            running_cluster(
                directory,
                database=database,
                database_url=tcp_url_of(embedded, name),
                cli_config=cli_config,
            ) as cluster,
        ):
            yield cluster
    finally:
        shutil.rmtree(directory, ignore_errors=True)
