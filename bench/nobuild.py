"""Our queue without builds: a bare Celery worker that claims the job and completes it at once."""

from __future__ import annotations

import os
from datetime import timedelta

from bench.noop import app
from db.engine import open_database
from db.results import BuildResult
from db.tags import UNTAGGED_QUEUE
from db.transitions import claim_job, complete_job
from tests.factory import WORKER_ID
from worker.doorbell import TASK

app.conf.update(
    task_default_queue=UNTAGGED_QUEUE,
    # Where worker.app rings.
    broker_transport_options={"priority_steps": [0], "global_keyprefix": "provisionerd:"},
)
database = open_database(os.environ["BENCH_DATABASE_URL"], pool_size=8)


@app.task(name=TASK)
def claim_and_complete(queue: str) -> None:
    """Do what the doorbell of a build asks for, but for the build."""
    with database.autocommit() as connection:
        job = claim_job(connection, queue=queue, worker_id=WORKER_ID, lease=timedelta(minutes=1))
    if job is not None:
        with database.transact() as connection:
            complete_job(
                connection, job_id=job.id, lease_token=job.lease_token, result=BuildResult()
            )
