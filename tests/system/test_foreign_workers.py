"""A Celery worker of somebody else, whose application imports us, stays somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import celery
import pytest
from sqlalchemy import text

from db.engine import Database
from tests.harness.databases import copied_database, database_url_of, opened_database
from tests.harness.factory import Factory
from tests.harness.waiting import NeverHappenedError, wait_until
from worker.broker.address import broker_url
from worker.embedded import Embedded
from worker.process.children import free_address, is_ready

APPLICATION = """
import os, time
from celery import Celery
import {imported}

app = Celery("theirs", broker=os.environ["THEIR_BROKER"])
app.conf.task_default_queue = os.environ["THEIR_QUEUE"]

@app.task(name="theirs.work")
def work(path, seconds):
    time.sleep(seconds)
    with open(path, "w") as file:
        file.write("done")
"""
WATCHDOG_S = 1.0


@dataclass(kw_only=True)
class Guest:
    """Their worker, in whose environment all settings of ours stand."""

    process: subprocess.Popen[bytes]
    database: Database
    metrics_address: str
    app: celery.Celery
    directory: Path

    def work(self, name: str, *, seconds: float) -> None:
        """Let it do a task, and wait for that."""
        path = self.directory / name
        self.app.send_task("theirs.work", args=(str(path), seconds), ignore_result=True)
        wait_until(lambda: path.exists() or self.has_ended(), f"the task {name}")
        if not path.exists():
            raise NeverHappenedError("their worker ended: " + self.said())

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def said(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((pool, imported), id=f"{pool} importing {imported}")
        for pool in ("threads", "prefork")
        for imported in ("worker.enqueue", "worker.app")
    ],
)
def guest(
    request: pytest.FixtureRequest,
    embedded: Embedded,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Guest]:
    """Their worker after it has worked longer than our watchdog would let a stalled one live."""
    pool, imported = request.param
    directory = tmp_path_factory.mktemp("theirs")
    (directory / "theirs.py").write_text(APPLICATION.format(imported=imported))
    assert embedded.redis_url is not None
    broker, queue = broker_url(embedded.redis_url), f"theirs-{uuid.uuid4().hex}"
    address = free_address()
    with (
        copied_database(embedded, template_database) as name,
        opened_database(database_url_of(embedded, name)) as database,
    ):
        _let_a_job_and_a_log_to_prune_wait(Factory(database=database))
        ours = {
            "DATABASE_URL": database_url_of(embedded, name),
            "REDIS_URL": embedded.redis_url,
            "DATA_DIR": str(directory / "data"),
            "METRICS_ADDRESS": address,
            "ENGINES": "echo",
            "WATCHDOG_SECONDS": str(WATCHDOG_S),
            "SWEEP_SECONDS": "0.2",
            "PRUNE_HOURS": "0.0001",
            "RETAIN_LOGS_DAYS": "0.000001",
        }
        environment = {
            **os.environ,
            **{f"PROVISIONERD_{key}": value for key, value in ours.items()},
            "THEIR_BROKER": broker,
            "THEIR_QUEUE": queue,
        }
        process = _start(directory, environment, pool)
        made = Guest(
            process=process,
            database=database,
            metrics_address=address,
            app=_client(broker, queue),
            directory=directory,
        )
        try:
            made.work("first", seconds=3 * WATCHDOG_S)
            yield made
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _client(broker: str, queue: str) -> celery.Celery:
    app = celery.Celery("client", broker=broker, set_as_current=False)
    app.conf.task_default_queue = queue
    return app


def _start(directory: Path, environment: dict[str, str], pool: str) -> subprocess.Popen[bytes]:
    with (directory / "log").open("wb") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--app=theirs", "worker", f"--pool={pool}"),
                *("--concurrency=1", "--without-gossip", "--without-mingle", "--loglevel=INFO"),
            ],
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _let_a_job_and_a_log_to_prune_wait(factory: Factory) -> None:
    old = factory.finished_build()
    with factory.database.begin() as session:
        session.execute(
            text("""
                INSERT INTO provisioner_job_logs (job_id, created_at, source, level, stage, output)
                VALUES (:job_id, now(), 'provisioner', 'info', 'plan', 'planned')
            """),
            {"job_id": old.id},
        )
    factory.build(factory.any_workspace())


def _count(database: Database, table: str) -> int:
    with database.begin() as session:
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_it_writes_no_row_of_a_worker(guest: Guest) -> None:
    assert _count(guest.database, "provisioner_daemons") == 0


def test_it_serves_no_metrics_of_ours(guest: Guest) -> None:
    assert not is_ready(guest.metrics_address)


def test_it_prunes_nothing(guest: Guest) -> None:
    assert _count(guest.database, "provisioner_job_logs") == 1


def test_it_is_not_ended_by_our_watchdog(guest: Guest) -> None:
    guest.work("second", seconds=0)
    assert not guest.has_ended()


def test_it_logs_as_celery_does(guest: Guest) -> None:
    assert "Task theirs.work" in guest.said()
