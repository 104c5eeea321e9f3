"""A bare Celery application to compare with: the same worker settings, a task that does nothing."""

from __future__ import annotations

import multiprocessing
import os
import time

from celery import Celery
from redis import Redis

app = Celery("noop", broker=os.environ["BENCH_BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_hijack_root_logger=False,
    task_default_queue="noop",
    broker_transport_options={"priority_steps": [0]},
    broker_connection_retry_on_startup=True,
)
done = multiprocessing.Value("q")  # shared with the children of a prefork pool
redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])


@app.task(name="noop")  # type: ignore[untyped-decorator]
def noop(total: int) -> None:
    """Count the task; the last of ``total`` reports that all are done."""
    with done.get_lock():
        done.value += 1
        is_last = done.value % total == 0
    if is_last:
        redis.rpush("noop.done", "1")


@app.task(name="stamp")  # type: ignore[untyped-decorator]
def stamp() -> None:
    """Report the start time."""
    redis.rpush("noop.stamp", repr(time.time()))
