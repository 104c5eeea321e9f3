"""Services for benches: embedded servers in a temporary directory, and real worker processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from redis import Redis
from sqlalchemy import make_url, text

from db.engine import Database, open_database
from db.schema.enums import JobStatus, ProvisionerType
from db.schema.migrate import migrate
from db.schema.tables import Template, User
from tests.harness.databases import autocommit
from tests.harness.factory import Factory, tar_archive
from worker.broker.address import broker_url
from worker.embedded import start_embedded
from worker.process.children import free_address, running_worker

REPOSITORY = Path(__file__).parents[1]
BENCH_DEADLINE_S = 300
LEAST_TICK_S, TICK_SHARE = 0.002, 0.005  # an end is seen this share of the time too late at most


@dataclass(frozen=True, kw_only=True)
class Services:
    """The servers of a bench run."""

    data_dir: Path
    database: Database
    database_url: str
    redis_url: str
    factory: Factory

    @property
    def redis(self) -> Redis:
        return Redis.from_url(self.redis_url, socket_timeout=None)

    def terraform_template(self, files: Mapping[str, bytes]) -> tuple[User, Template]:
        """Return a template for Terraform, and its author, whose quota is 1,000 credits."""
        organization = self.factory.organization(everyone_allowance=1000)
        owner = self.factory.user(organization=organization)
        template = self.factory.template(
            organization=organization,
            created_by=owner,
            archive=tar_archive(files),
            provisioner=ProvisionerType.TERRAFORM,
        )
        return owner, template

    def pop(self, key: str) -> bytes | str:
        """Wait for a value that a task puts into a list of Redis, and take it."""
        found = self.redis.blpop([key], timeout=30)
        assert found is not None, "the task has not run"
        return found[1]

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the environment of a worker process; ``settings`` are by field name."""
        host = {name: value for name, value in os.environ.items() if "PROVISIONERD_" not in name}
        given = {
            "data_dir": self.data_dir,
            # As in production: a worker that runs embedded servers needs more memory.
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "metrics_address": free_address(),
            "engines": "echo,terraform",
            "log_level": "warning",
            "worker_name": "bench",
            **settings,
        }
        variables = {f"PROVISIONERD_{name.upper()}": str(value) for name, value in given.items()}
        return {**host, **variables}

    def wait_for_build(self, job_id: uuid.UUID) -> None:
        """Return when the job has succeeded.

        It polls with a cheap statement, the more seldom the longer it waits: processor time of the
        watcher and of PostgreSQL for it would affect the measurement.
        """
        query = "SELECT job_status::text FROM provisioner_jobs WHERE id = %s"
        # Straight through the driver: this takes a third of the processor time.
        url = make_url(self.database_url).set(drivername="postgresql")
        with psycopg.connect(
            url.render_as_string(hide_password=False), autocommit=True
        ) as connection:

            def status() -> JobStatus:
                row = connection.execute(query, (job_id,)).fetchone()
                assert row is not None
                return JobStatus(row[0])

            started = time.monotonic()
            while status().is_active:
                waited_s = time.monotonic() - started
                assert waited_s < BENCH_DEADLINE_S, "the build has not ended"
                time.sleep(max(LEAST_TICK_S, waited_s * TICK_SHARE))
            assert status() is JobStatus.SUCCEEDED

    @contextmanager
    def with_empty_database(self) -> Iterator[Services]:
        """Yield the same servers with another, empty database.

        It serves to compare a large database with a small one in turns, so that the load of the
        disk and the processor at that time affects both.
        """
        with autocommit(self.database) as connection:
            connection.execute(text("CREATE DATABASE empty"))
        url = make_url(self.database_url).set(database="empty")
        database = open_database(url.render_as_string(hide_password=False))
        migrate(database.engine)
        yield replace(self, database=database, factory=Factory(database=database))
        database.dispose()

    @contextmanager
    def worker(self, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
        """Run a real worker process."""
        log = self.data_dir / "worker.log"
        with running_worker(self.environment(**settings), name="bench", log=log) as process:
            yield process

    @contextmanager
    def celery(
        self, module: str, *, concurrency: int, pool: str = "threads"
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker process of the bare Celery application in ``module``."""
        command = [
            *(sys.executable, "-m", "celery", f"--app={module}", "--quiet", "worker"),
            *("--without-gossip", "--without-mingle", "--loglevel=ERROR"),
            *(f"--pool={pool}", f"--concurrency={concurrency}"),
        ]
        os.environ["BENCH_BROKER_URL"] = broker_url(self.redis_url)
        os.environ["BENCH_REDIS_URL"] = self.redis_url
        with running(command) as process:
            yield process


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process without output in this process's environment; end it with the block."""
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def open_services() -> Iterator[Services]:
    """Start the servers; remove everything at the end."""
    data_dir = Path(tempfile.mkdtemp(prefix="pbench-"))
    data_dir.chmod(0o711)
    try:
        with start_embedded(data_dir) as embedded:
            assert embedded.database_url is not None
            assert embedded.redis_url is not None
            database = open_database(embedded.database_url, pool_size=40)
            migrate(database.engine)
            os.environ["PROVISIONERD_DATA_DIR"] = str(data_dir)
            yield Services(
                data_dir=data_dir,
                database=database,
                database_url=embedded.database_url,
                redis_url=embedded.redis_url,
                factory=Factory(database=database),
            )
            database.dispose()
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
