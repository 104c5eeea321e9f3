"""The released version, and installations of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.databases import run_admin, tcp_url_of
from tests.harness.installation import new_cluster
from tests.harness.ledger import install_ledger
from tests.harness.releases import NotAvailableError, Release, last_release
from tests.upgrade.installation import Installation, installed
from worker.embedded import Embedded

RELEASED = "provisionerd_released"


@pytest.fixture(scope="session")
def release() -> Release:
    """The last released version."""
    try:
        return last_release()
    except NotAvailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def released_database(embedded: Embedded, release: Release) -> str:
    """The name of a database that the released version has migrated, to be copied."""
    run_admin(embedded, f"CREATE DATABASE {RELEASED}")
    url = {"PROVISIONERD_DATABASE_URL": tcp_url_of(embedded, RELEASED)}
    subprocess.run(release.command("migrate"), env={**os.environ, **url}, check=True)
    return RELEASED


@pytest.fixture(scope="session")
def cli_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Terraform CLI configuration that finds the ledger provider."""
    return install_ledger(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="module")
def installation(
    embedded: Embedded, released_database: str, cli_config: Path, release: Release
) -> Iterator[Installation]:
    """An installation of the released version for all tests of a module, without workers."""
    with (
        new_cluster(embedded, released_database, cli_config) as cluster,
        installed(cluster, release) as made,
    ):
        yield made
