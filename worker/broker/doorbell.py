"""Doorbells: Celery messages that say "this queue has work", and nothing more.

The job row is the truth: the sweeper rings again when a doorbell was lost, and a duplicate finds
nothing to claim.
"""

from __future__ import annotations

from worker.broker.client import BrokerClient
from worker.broker.errors import BROKER_AWAY
from worker.broker.ringer import Ring


def ring_at(redis_url: str) -> Ring:
    """Return a function that rings a queue of this Redis once and returns whether it accepted it.

    It waits no longer than the broker's socket timeouts: a dead Redis must not make a caller fail
    or wait.
    """
    client = BrokerClient(redis_url)

    def ring(queue: str) -> bool:
        try:
            client.publish(queue)
        except BROKER_AWAY:
            return False
        return True

    return ring
