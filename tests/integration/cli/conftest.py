"""The command line against a database of the test's own, with builds run by the echo engine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from db.engine import Database
from db.jobs.mover import Mover
from db.schema.enums import ProvisionerType
from provisioner.build.attempt import BuildSettings
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import Engine
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.host.interrupt import Interrupt
from tests.harness.factory import Factory
from tests.harness.threads import join_thread, start_thread
from tests.integration.cli.commandline import CommandLine, Unchanged, sign_on
from worker.embedded import Embedded
from worker.metrics.series import Metrics
from worker.slots.keeper import LeaseKeeper, LeaseTimes


@pytest.fixture
def environment(database_url: str, embedded: Embedded, tmp_path: Path) -> Mapping[str, str | None]:
    """The settings of the command line; those of whoever runs the tests are left out."""
    assert embedded.redis_url is not None
    theirs: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("PROVISIONERD_")
    }
    return {
        **theirs,
        "PROVISIONERD_DATABASE_URL": database_url,
        "PROVISIONERD_REDIS_URL": embedded.redis_url,
        "PROVISIONERD_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.fixture
def run(environment: Mapping[str, str | None]) -> CommandLine:
    return CommandLine(environment)


@pytest.fixture
def builds_are_run(database: Database, factory: Factory, tmp_path: Path) -> Iterator[None]:
    """A worker that runs the echo jobs of the untagged queue."""
    with serving(database, factory, tmp_path / "work", {ProvisionerType.ECHO: EchoEngine()}):
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
    with serving(database, factory, tmp_path / "work", engines):
        yield


@contextmanager
def serving(
    database: Database,
    factory: Factory,
    work_root: Path,
    engines: Mapping[ProvisionerType, Engine],
) -> Iterator[None]:
    """Run the jobs of the untagged queue until the block ends."""
    runner = Runner(
        mover=Mover(database=database),
        engines=engines,
        settings=BuildSettings(work_root=work_root, host_environment=dict(os.environ)),
    )
    sign_on(database, "echo-worker")
    stopped = threading.Event()
    keeper = LeaseKeeper(
        database,
        LeaseTimes(
            lease=timedelta(minutes=5),
            renew=timedelta(milliseconds=50),
            fence=timedelta(minutes=2),
            fence_grace=timedelta(seconds=5),
        ),
        metrics=Metrics(CollectorRegistry()),
    )
    keeper.start()

    def serve() -> None:
        while not stopped.wait(0.02):
            asked_at = time.monotonic()
            if job := factory.claim():
                interrupt = Interrupt()
                # The keeper is what brings a cancel to a build that waits.
                with keeper.keep(job.lease.token, interrupt, asked_at=asked_at):
                    runner.run(job, interrupt)

    thread = start_thread(serve)
    yield
    stopped.set()
    join_thread(thread, within_s=20)
    keeper.stop()


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
