"""Workers behind PgBouncer in both of its modes, and without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.held import Held, held_builds
from tests.harness.ledger import install_ledger
from tests.harness.pgbouncer import find_pgbouncer


@pytest.fixture(scope="session")
def cli_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Terraform CLI configuration that finds the ledger provider."""
    return install_ledger(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="module")
def held(request: pytest.FixtureRequest, cli_config: Path) -> Iterator[Held]:
    """A worker for each stage, with the wanted way to PostgreSQL."""
    if request.param != "direct" and find_pgbouncer() is None:
        pytest.skip("needs PgBouncer (Debian: pgbouncer)")
    with held_builds(request.param, cli_config) as held:
        yield held
