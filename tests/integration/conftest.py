"""Workers in a thread of the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from db.engine import Database
from db.schema.enums import ProvisionerType
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import Engine
from provisioner.engines.terraform.engine import TerraformEngine
from tests.harness.factory import Factory
from tests.harness.threadworker import running_jobs


@pytest.fixture
def builds_are_run(database: Database, factory: Factory, tmp_path: Path) -> Iterator[None]:
    """A worker that runs the echo jobs of the untagged queue."""
    with running_jobs(database, factory, tmp_path / "work", {ProvisionerType.ECHO: EchoEngine()}):
        yield


@pytest.fixture
def imports_are_run(
    database: Database, factory: Factory, tmp_path: Path, terraform: Path
) -> Iterator[None]:
    """A worker that runs the jobs of the untagged queue with both engines."""
    engines: Mapping[ProvisionerType, Engine] = {
        ProvisionerType.ECHO: EchoEngine(),
        ProvisionerType.TERRAFORM: TerraformEngine(terraform, grace=timedelta(seconds=5)),
    }
    with running_jobs(database, factory, tmp_path / "work", engines):
        yield
