"""A client of the broker: publishes doorbells and counts them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

from celery import Celery
from celery.loaders.base import BaseLoader
from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.transport.virtual import Channel

from worker.broker.address import broker_url, find_redis_url
from worker.broker.errors import BROKER_AWAY
from worker.broker.transport import TRANSPORT_OPTIONS

TASK = "run_next_build"


class NoBrokerError(Exception):
    """No broker is configured, and none runs in the data directory."""


def open_client(redis_url: str | None) -> BrokerClient:
    """Return a client of this broker; when None, of the one that ``find_redis_url`` finds.

    Raises:
        NoBrokerError: there is none.
    """
    found = redis_url or find_redis_url()
    if found is None:
        raise NoBrokerError(
            "there is no Redis: PROVISIONERD_REDIS_URL is not set, no redis_url was given,"
            " and none runs in the data directory"
        )
    return BrokerClient(found)


class BrokerClient:
    """One connection to Redis, opened on first use, for any number of threads.

    It must not cross a fork. Calls run one at a time; each waits for Redis no longer than the
    timeouts of ``TRANSPORT_OPTIONS``.
    """

    def __init__(self, redis_url: str) -> None:
        self._url = broker_url(redis_url)
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def publish(self, queue: str, *, passed_on: bool = False) -> None:
        """Publish one message of our task to the queue.

        Args:
            passed_on: a drained worker took the doorbell before, so that no other passes it on.

        The message is sent by kombu: Celery's own ``send_task`` would call the signal receivers
        of the host process, and obey its ``CELERY_BROKER_URL``.

        Raises:
            any of BROKER_AWAY: the broker did not accept the message.
        """
        message = _producer().amqp.as_task_v2(
            str(uuid.uuid4()),
            TASK,
            args=(queue,),
            kwargs={"passed_on": True} if passed_on else {},
            ignore_result=True,
        )
        with self._channel() as channel:
            Producer(channel).publish(  # type: ignore[no-untyped-call]
                message.body,
                routing_key=queue,
                serializer="json",
                headers=message.headers,
                **message.properties,
            )

    def count(self, queue: str) -> int:
        """Return the number of messages in the queue.

        Raises:
            any of BROKER_AWAY: the broker did not answer.
        """
        with self._channel() as channel:
            return int(channel._size(queue))  # type: ignore[no-untyped-call] # noqa: SLF001 - no public API

    @contextmanager
    def _channel(self) -> Iterator[Channel]:
        with self._lock:
            if self._connection is None:
                self._connection = Connection(  # type: ignore[no-untyped-call]
                    self._url, transport_options=dict(TRANSPORT_OPTIONS)
                )
            try:
                yield self._connection.default_channel
            except BROKER_AWAY:
                self._drop()
                raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it is broken already
                connection.release()  # type: ignore[no-untyped-call]


class NoConfiguration(BaseLoader):  # type: ignore[misc]
    """Reads no configuration; Celery's own loaders import the caller's ``CELERY_CONFIG_MODULE``."""

    def read_configuration(self, env: str = "") -> dict[str, object]:  # noqa: ARG002 - Celery's
        """Return no configuration."""
        return {}


@lru_cache(maxsize=1)
def _producer() -> Celery:
    """Return an application that only formats Celery's messages.

    It does not become the current application, connects no signals, and reads nothing from the
    host process's environment (``CELERY_*``, Django's settings).
    """
    return Celery("provisionerd.doorbells", set_as_current=False, loader=NoConfiguration, fixups=[])
