"""Nobody commands workers by Celery's remote control."""

from __future__ import annotations

import celery

from tests.harness.cluster import Cluster
from worker.broker.transport import TRANSPORT_OPTIONS


def test_a_worker_does_not_answer_remote_control(shared: Cluster) -> None:
    shared.start_worker()
    intruder = celery.Celery("intruder", broker=shared.redis.url, set_as_current=False)
    intruder.conf.broker_transport_options = dict(TRANSPORT_OPTIONS)
    assert intruder.control.ping(timeout=2) == []
