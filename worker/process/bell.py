"""A worker's doorbells. Failures are counted, and logged once per outage."""

from __future__ import annotations

import structlog

from db.streak import Streak
from worker.broker.client import BrokerClient
from worker.broker.errors import BROKER_AWAY
from worker.metrics.series import Metrics

log = structlog.get_logger("worker")


class Bell:
    """Rings and counts doorbells through one broker client, for any number of threads."""

    def __init__(self, client: BrokerClient, *, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics
        self._failing = Streak()

    def ring(self, queue: str) -> bool:
        """Ring the queue once; return whether the broker accepted the doorbell."""
        return self._publish(queue, passed_on=False)

    def pass_on(self, queue: str) -> bool:
        """Ring the queue once for another worker; return whether the broker accepted it."""
        return self._publish(queue, passed_on=True)

    def _publish(self, queue: str, *, passed_on: bool) -> bool:
        try:
            self._client.publish(queue, passed_on=passed_on)
        except BROKER_AWAY as error:
            self._failed(queue, error)
            return False
        self._answered()
        return True

    def count(self, queue: str) -> int:
        """Return the number of doorbells in the queue.

        Raises:
            any of BROKER_AWAY: the broker did not answer; the failure was counted and logged.
        """
        try:
            count = self._client.count(queue)
        except BROKER_AWAY as error:
            self._failed(queue, error)
            raise
        self._answered()
        return count

    def _failed(self, queue: str, error: Exception) -> None:
        self._metrics.publish_failures.inc()
        if self._failing.fail():
            log.warning("doorbell.failed", queue=queue, error=str(error))

    def _answered(self) -> None:
        if failures := self._failing.end():
            log.info("doorbell.recovered", failures=failures)
