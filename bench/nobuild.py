"""Our queue without builds: a bare Celery worker that claims a job and completes it at once."""

from __future__ import annotations

import os
from datetime import timedelta

from bench.noop import app
from db.engine import open_database
from db.jobs.finish import complete_job
from db.jobs.results import BuildResult
from db.jobs.tags import UNTAGGED_QUEUE
from db.jobs.transitions import claim_job
from tests.harness.factory import WORKER_ID
from worker.broker.client import TASK
from worker.broker.transport import TRANSPORT_OPTIONS

app.conf.update(
    task_default_queue=UNTAGGED_QUEUE,
    broker_transport_options=dict(TRANSPORT_OPTIONS),
)
database = open_database(os.environ["BENCH_DATABASE_URL"], pool_size=8)


@app.task(name=TASK)  # type: ignore[untyped-decorator]
def claim_and_complete(queue: str) -> None:
    """Do what the doorbell of a build asks for, as ``worker.slots.dispatch`` does, but for the build."""
    with database.begin() as connection:
        job = claim_job(connection, queue=queue, worker_id=WORKER_ID, lease=timedelta(minutes=1))
        if job is not None:
            complete_job(connection, job.lease, result=BuildResult())
