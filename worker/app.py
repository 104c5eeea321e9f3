"""The Celery application, for ``celery -A worker.app worker`` and for Flower.

A message carries no authority (see ``worker.broker.doorbell``), so an unreliable delivery does no
harm. The settings below keep messages cheap, bounded in time, and without results.
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from typing import Any

from db.jobs.tags import UNTAGGED_QUEUE, served_queues
from worker.broker.address import broker_url
from worker.broker.client import TASK
from worker.broker.consumer import ForgetLostMessages
from worker.broker.transport import TRANSPORT_OPTIONS, make_queues
from worker.embedded import start_embedded
from worker.process.application import App
from worker.process.node import Node
from worker.process.start import run_or_exit
from worker.settings import load_settings


def _configuration() -> dict[str, Any]:
    """Return Celery's settings. Called on first use, not at import."""
    settings = run_or_exit(load_settings)
    return {
        "broker_url": broker_url(app.redis_url or _redis_url()),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that became a read-only replica returns errors; it may become a master again.
        "broker_channel_error_retry": True,
        "broker_transport_options": dict(TRANSPORT_OPTIONS),
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "result_backend": None,
        # With early acknowledgement Celery notices a free slot up to a second late.
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "task_track_started": False,
        "task_default_queue": UNTAGGED_QUEUE,
        "task_queues": make_queues(served_queues(settings.tags)),
        "task_create_missing_queues": True,
        "worker_pool": settings.pool.value,
        "worker_concurrency": settings.concurrency,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # A short outage of Redis must not end an apply: the lease decides who may run a build.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Anybody who can write to Redis could stop workers with it.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _redis_url() -> str:
    settings = load_settings()
    if settings.redis_address is not None:
        return settings.redis_address
    stack = ExitStack()
    embedded = stack.enter_context(start_embedded(settings.data_dir, postgres=False))
    atexit.register(stack.close)
    assert embedded.redis_url is not None
    return embedded.redis_url


# An importing process keeps its own application as the current one.
app = App("provisionerd", set_as_current=False)
app.add_defaults(_configuration)
app.steps["consumer"].add(ForgetLostMessages)
app.Worker = app.subclass_with_self(Node)


@app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def run_next_build(queue: str, *, passed_on: bool = False) -> None:
    """Claim and run the best pending job of ``queue``.

    Args:
        passed_on: a drained worker took the doorbell before.
    """
    if app.runtime is None:
        raise RuntimeError("this process runs no builds: it was not started as a worker")
    app.runtime.dispatcher.run_next_build(queue, passed_on=passed_on)
