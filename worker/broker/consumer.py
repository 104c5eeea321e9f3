"""How the Celery consumer treats messages whose connection was lost."""

from __future__ import annotations

from typing import Any

import structlog
from celery import bootsteps
from kombu.transport.virtual import QoS

from worker.broker.errors import BROKER_AWAY

log = structlog.get_logger("worker")


class ForgetLostMessages(bootsteps.StartStopStep):  # type: ignore[misc]
    """Neither acknowledge nor restore a message whose channel was closed.

    When Redis goes away, kombu 5.7 restores the messages of running builds through the connection
    that has just failed, and a build that ends later acknowledges on a channel without a
    connection. Both raise an AttributeError that nothing catches, and the worker ends. No message
    is worth saving: a doorbell has no authority, and the sweeper rings again for pending jobs.
    Nor does kombu free the slot of a message if Redis fails while it is acknowledged: from then on
    the worker would run one build less at a time.

    Remove this class when kombu handles all three cases.
    """

    requires = {"celery.worker.consumer.tasks:Tasks"}  # noqa: RUF012 - Celery's interface

    def start(self, parent: Any) -> None:
        """Take effect on the channel that the consumer has just opened."""
        channel = parent.task_consumer.channel
        channel.do_restore = False
        acknowledge = channel.basic_ack

        def basic_ack(delivery_tag: str, multiple: bool = False) -> None:
            # A closed channel has no connection, or one whose transport has no client.
            if getattr(channel.connection, "client", None) is None:
                return
            try:
                acknowledge(delivery_tag, multiple)
            except BROKER_AWAY as error:
                log.warning("doorbell.not_acknowledged", error=str(error))
                # Not the subclass for Redis, which would ask it again.
                QoS.ack(channel.qos, delivery_tag)  # type: ignore[no-untyped-call]

        channel.basic_ack = basic_ack
