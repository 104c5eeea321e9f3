"""Doorbells: Celery messages that say "this queue has work", and nothing more.

The row is the truth: a doorbell that is lost is rung again by the sweeper, one that comes twice
finds nothing to claim.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from celery import Celery
from prometheus_client import Counter

from worker.broker.errors import BROKER_AWAY

log = structlog.get_logger("worker")

TASK = "run_next_build"
PUBLISH_FAILURES = Counter(
    "provisionerd_doorbell_publish_failures_total",
    "Doorbells that could not be rung; the sweeper rings them later.",
)

Ring = Callable[[str], bool]
TakeDoorbell = Callable[[str], bool]


def ring_with(app: Celery) -> Ring:
    """Return a function that rings a queue once and tells whether the broker took it.

    It never raises and never waits longer than the broker's socket timeouts (see
    ``worker.app``): a dead Redis is no reason for a caller to fail or to wait.
    """

    def ring(queue: str) -> bool:
        try:
            app.send_task(TASK, args=(queue,), queue=queue, retry=False, ignore_result=True)
        except BROKER_AWAY as error:
            PUBLISH_FAILURES.inc()
            log.warning("doorbell.failed", queue=queue, error=str(error))
            return False
        return True

    return ring


def take_with(app: Celery) -> TakeDoorbell:
    """Return a function that takes a doorbell of a queue off the broker, if there is one.

    For a slot that has just ended a build: what Celery does to deliver a message and to hear
    that it was dealt with costs 1 ms of processor time, and this 0.05. It never raises.
    """

    def take(queue: str) -> bool:
        try:
            with app.pool.acquire(block=True, timeout=1) as connection:
                # One list per queue (see ``worker.app``); kombu's own ``get`` makes a client anew.
                return connection.default_channel.client.rpop(queue) is not None
        except BROKER_AWAY as error:
            log.warning("doorbell.not_taken", queue=queue, error=str(error))
            return False

    return take
