"""Doorbells: Celery messages that say "this queue has work", and nothing more.

The row is the truth: a doorbell that is lost is rung again by the sweeper, one that comes twice
finds nothing to claim.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.broker.client import BrokerClient
from worker.broker.errors import BROKER_AWAY

Ring = Callable[[str], bool]
"""Rings a queue once; returns whether the doorbell was taken. Never raises."""
RingFailed = Callable[[str, Exception], None]
"""Is told which queue could not be rung, and why."""


def ring_with(client: BrokerClient, *, failed: RingFailed | None = None) -> Ring:
    """Return a function that rings a queue once and tells whether the broker took it.

    It never waits longer than the broker's socket timeouts: a dead Redis is no reason for a
    caller to fail or to wait.
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
