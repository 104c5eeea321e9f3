"""A worker to which nothing happens shows within seconds that a server hangs, in both pools."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.cluster import Cluster
from tests.harness.proxy import Proxy, retarget
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker

SCRAPE_S = 10
"""Prometheus waits as long by default."""

FAILED_DOORBELLS = "provisionerd_doorbell_publish_failures_total"


@pytest.fixture(scope="module")
def proxy(shared: Cluster) -> Iterator[Proxy]:
    """What the workers take for PostgreSQL."""
    port = int(shared.database_url.rpartition(":")[2].partition("/")[0])
    with Proxy(target=("127.0.0.1", port)) as proxy:
        yield proxy


@pytest.fixture(scope="module", params=["threads", "prefork"])
def worker(
    shared: Cluster,
    proxy: Proxy,
    request: pytest.FixtureRequest,
) -> Worker:
    url = retarget(proxy)(shared.database_url)
    return shared.start_worker(request.param, pool=request.param, database_url=url)


def shown(worker: Worker, name: str) -> float | None:
    with urlopen(f"http://{worker.address}/metrics", timeout=SCRAPE_S) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                return sample.value
    return None


def test_a_redis_that_hangs_is_seen_and_so_is_its_return(shared: Cluster, worker: Worker) -> None:
    wait_until(lambda: shown(worker, "provisionerd_broker_up") == 1, "Redis to be up")
    shared.redis.send(signal.SIGSTOP)
    try:
        wait_until(lambda: shown(worker, "provisionerd_broker_up") == 0, "Redis to be down")
        assert shown(worker, "provisionerd_database_up") == 1
    finally:
        shared.redis.send(signal.SIGCONT)
    wait_until(lambda: shown(worker, "provisionerd_broker_up") == 1, "Redis to be back")


def test_a_postgresql_that_hangs_is_seen_and_so_is_its_return(proxy: Proxy, worker: Worker) -> None:
    wait_until(lambda: shown(worker, "provisionerd_database_up") == 1, "PostgreSQL to be up")
    proxy.freeze()
    try:
        wait_until(lambda: shown(worker, "provisionerd_database_up") == 0, "PostgreSQL to be down")
    finally:
        proxy.heal()
    wait_until(lambda: shown(worker, "provisionerd_database_up") == 1, "PostgreSQL to be back")


def test_a_worker_counts_that_it_cannot_ask_a_redis_that_hangs(
    shared: Cluster, worker: Worker
) -> None:
    before = shown(worker, FAILED_DOORBELLS) or 0
    shared.redis.send(signal.SIGSTOP)
    try:
        job_id = shared.enqueue(shared.workspace("plain"))
        wait_until(lambda: (shown(worker, FAILED_DOORBELLS) or 0) > before, "a counted failure")
    finally:
        shared.redis.send(signal.SIGCONT)
    shared.finish(job_id)
