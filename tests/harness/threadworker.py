"""A worker in a thread of the test: it signs on, and runs the jobs of the untagged queue."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from db.engine import Database
from db.jobs.mover import Mover
from db.jobs.workers import register_worker
from db.schema.enums import ProvisionerType
from provisioner.build.attempt import BuildSettings
from provisioner.build.runner import Runner
from provisioner.engines.port import Engine
from provisioner.host.interrupt import Interrupt
from tests.harness.factory import Factory
from tests.harness.threads import join_thread, start_thread
from worker.metrics.series import Metrics
from worker.slots.keeper import LeaseKeeper, LeaseTimes


def sign_on(database: Database, name: str, tags: Mapping[str, str] | None = None) -> uuid.UUID:
    """Write the row of a worker that is alive, and return its id."""
    with database.begin() as session:
        return register_worker(
            session,
            name=name,
            tags=tags or {},
            provisioners=list(ProvisionerType),
            concurrency=4,
            version="1.2.3",
            hostname="host",
        )


@contextmanager
def running_jobs(
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
