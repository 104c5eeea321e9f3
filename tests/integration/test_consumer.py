"""A message that cannot be acknowledged does not keep its slot for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer, Producer

from tests.harness.redis_server import RedisServer, running_redis
from worker.broker.consumer import ForgetLostMessages
from worker.broker.transport import TRANSPORT_OPTIONS

QUEUE = Queue("builds")  # type: ignore[no-untyped-call]
DELIVERED_WITHIN_S = 10


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def channel(redis: RedisServer) -> Iterator[Any]:
    """The channel of a worker with one slot."""
    options = dict(TRANSPORT_OPTIONS)
    with Connection(redis.url, transport_options=options) as connection:  # type: ignore[no-untyped-call]
        yield connection.default_channel


@pytest.fixture
def message(channel: Any) -> Any:
    """A doorbell that has reached the worker."""
    channel.basic_qos(0, 1, False)
    producer: Any = Producer(channel)  # type: ignore[no-untyped-call]
    producer.publish("ring", routing_key=QUEUE.name, declare=[QUEUE])
    delivered: list[Any] = []
    consumer: Any = Consumer(channel, [QUEUE], on_message=delivered.append)  # type: ignore[no-untyped-call]
    consumer.consume()
    ForgetLostMessages(None).start(SimpleNamespace(task_consumer=consumer))
    channel.connection.client.drain_events(timeout=DELIVERED_WITHIN_S)
    assert not channel.qos.can_consume()
    return delivered[0]


def test_an_acknowledged_message_frees_its_slot(channel: Any, message: Any) -> None:
    message.ack()

    assert channel.qos.can_consume()


def test_a_message_frees_its_slot_although_redis_is_away(
    channel: Any, message: Any, redis: RedisServer
) -> None:
    redis.kill()

    message.ack()

    assert channel.qos.can_consume()


def test_a_message_frees_its_slot_although_redis_may_only_be_read(
    channel: Any, message: Any, redis: RedisServer
) -> None:
    redis.ask("REPLICAOF", "127.0.0.1", "1")

    message.ack()

    assert channel.qos.can_consume()
