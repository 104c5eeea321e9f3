"""How the Celery consumer treats messages whose connection is gone."""

from __future__ import annotations

from typing import Any

from celery import bootsteps


class ForgetLostMessages(bootsteps.StartStopStep):  # type: ignore[misc]
    """Neither acknowledge nor put back a message whose channel was closed under it.

    When Redis goes, kombu 5.7 puts the messages of running builds back by a connection that has
    just failed, and a build that ends later acknowledges on a channel without one. Both raise an
    AttributeError that nobody catches, and the worker ends. There is nothing to save: a doorbell
    has no authority, and the sweeper rings again for what waits. To be removed when kombu
    survives both.
    """

    requires = {"celery.worker.consumer.tasks:Tasks"}  # noqa: RUF012 - Celery reads it so

    def start(self, parent: Any) -> None:
        """Take effect on the channel that the consumer has just opened."""
        channel = parent.task_consumer.channel
        channel.do_restore = False
        acknowledge = channel.basic_ack

        def basic_ack(delivery_tag: str, multiple: bool = False) -> None:
            # A closed channel has lost its transport, or that its connection.
            if getattr(channel.connection, "client", None) is not None:
                acknowledge(delivery_tag, multiple)

        channel.basic_ack = basic_ack
