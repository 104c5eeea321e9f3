from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.broker.client import BrokerClient
from worker.broker.doorbell import ring_at
from worker.broker.errors import BROKER_AWAY

DEADLINE_S = 5  # kombu by itself tries for six
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


def test_ringing_does_not_wait_for_a_redis_that_is_away() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ring_at(NOBODY_LISTENS), "builds").result(DEADLINE_S) is False


def test_counting_says_that_redis_is_away() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(BROKER_AWAY):
        pool.submit(BrokerClient(NOBODY_LISTENS).count, "builds").result(DEADLINE_S)
