"""Doorbells: Celery messages that say "this queue has work", and nothing more.

The job row is the truth: the sweeper rings again when a doorbell was lost, and a duplicate finds
nothing to claim.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.broker.client import BrokerClient
from worker.broker.errors import BROKER_AWAY

Ring = Callable[[str], bool]
"""Rings a queue once; returns whether the doorbell was accepted. Never raises."""
RingFailed = Callable[[str, Exception], None]
"""Called with the queue that could not be rung, and the error."""


def ring_with(client: BrokerClient, *, failed: RingFailed | None = None) -> Ring:
    """Return a function that rings a queue once and returns whether the broker accepted it.

    It waits no longer than the broker's socket timeouts: a dead Redis must not make a caller fail
    or wait.
    """

    def ring(queue: str) -> bool:
        try:
            client.publish(queue)
        except BROKER_AWAY as error:
            if failed is not None:
                failed(queue, error)
            return False
        return True

    return ring


def ring_at(redis_url: str) -> Ring:
    """Return a function that rings the queues of this Redis, as ``ring_with`` does."""
    return ring_with(BrokerClient(redis_url))
