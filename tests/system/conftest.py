"""A cluster for each module, or for each test that harms it for good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.installation import new_cluster
from tests.harness.ledger import install_ledger
from worker.embedded import Embedded


@pytest.fixture(scope="session")
def cli_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Terraform CLI configuration that finds the ledger provider."""
    return install_ledger(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="module")
def shared(embedded: Embedded, template_database: str, cli_config: Path) -> Iterator[Cluster]:
    """A cluster for all tests of a module."""
    with new_cluster(embedded, template_database, cli_config) as cluster:
        yield cluster


@pytest.fixture
def cluster(embedded: Embedded, template_database: str, cli_config: Path) -> Iterator[Cluster]:
    """A cluster for one test."""
    with new_cluster(embedded, template_database, cli_config) as cluster:
        yield cluster
