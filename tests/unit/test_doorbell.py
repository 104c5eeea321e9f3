from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Celery

from worker.app import TRANSPORT_OPTIONS
from worker.broker.doorbell import ring_with, take_with

DEADLINE_S = 5  # kombu by itself tries for six


@pytest.fixture
def away() -> Celery:
    """An application whose Redis refuses connections."""
    application = Celery("away", broker="redis://127.0.0.1:1/0")
    application.conf.broker_transport_options = TRANSPORT_OPTIONS
    return application


@pytest.mark.parametrize("make", [ring_with, take_with])
def test_nobody_waits_for_a_redis_that_is_away(away: Celery, make) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(make(away), "builds").result(DEADLINE_S) is False
