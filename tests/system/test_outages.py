"""Redis and PostgreSQL break in the middle of builds: builds go on, and need no help."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from db.schema.enums import FailureReason, JobStatus, Stage, Transition
from tests.harness.cluster import Cluster
from tests.harness.proxy import Proxy
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def proxy(shared: Cluster) -> Iterator[Proxy]:
    """What the workers of this module take for PostgreSQL."""
    port = int(shared.database_url.rpartition(":")[2].partition("/")[0])
    with Proxy(target=("127.0.0.1", port)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def worker(shared: Cluster, proxy: Proxy) -> Worker:
    """The worker of untagged builds."""
    return _start(shared, proxy, "worker")


def _start(cluster: Cluster, proxy: Proxy, name: str, **settings: Any) -> Worker:
    through = cluster.database_url.replace(f":{proxy.target[1]}/", f":{proxy.port}/")
    return cluster.start_worker(name, **{"database_url": through, **settings})


# Redis. The API's part of it is bounded by socket timeouts: no test waits for that.


def _kill(cluster: Cluster) -> None:
    cluster.redis.kill()


def _start_empty(cluster: Cluster) -> None:
    cluster.redis.start()


def _flush(cluster: Cluster) -> None:
    cluster.redis.ask("FLUSHALL")


def _pause(cluster: Cluster) -> None:
    cluster.redis.send(signal.SIGSTOP)


def _go_on(cluster: Cluster) -> None:
    cluster.redis.send(signal.SIGCONT)


def _demote(cluster: Cluster) -> None:
    cluster.redis.ask("REPLICAOF", "127.0.0.1", "1")


def _promote(cluster: Cluster) -> None:
    cluster.redis.ask("REPLICAOF", "NO", "ONE")


def _fill(cluster: Cluster) -> None:
    cluster.redis.ask("CONFIG SET maxmemory 1")


def _make_room(cluster: Cluster) -> None:
    cluster.redis.ask("CONFIG SET maxmemory 0")


Harm = Callable[[Cluster], None]

HARMS = [
    pytest.param(_kill, _start_empty, id="killed and started empty"),
    pytest.param(_flush, lambda _cluster: None, id="flushed"),
    pytest.param(_pause, _go_on, id="paused"),
    pytest.param(_demote, _promote, id="read-only for a while"),
    pytest.param(_fill, _make_room, id="out of memory for a while"),
]


@pytest.mark.parametrize(("harm", "heal"), HARMS)
def test_builds_go_on_and_new_ones_start_when_redis_is_back(
    shared: Cluster, worker: Worker, harm: Harm, heal: Harm
) -> None:
    running = shared.enqueue(shared.workspace("plain", seconds=3))
    shared.wait_for_stage(running, Stage.APPLY)

    harm(shared)
    accepted = shared.enqueue(shared.workspace("plain"))
    assert shared.finish(running) == [JobStatus.SUCCEEDED]
    heal(shared)

    assert shared.finish(accepted) == [JobStatus.SUCCEEDED]


# PostgreSQL.


def applying(shared: Cluster) -> uuid.UUID:
    """Return the job of a build that has begun an apply of some seconds."""
    job_id = shared.enqueue(shared.workspace("plain", seconds=3))
    shared.wait_for_stage(job_id, Stage.APPLY)
    return job_id


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(Proxy.cut, id="connections are cut"),
        pytest.param(lambda proxy: proxy.delay(0.05), id="every answer is late"),
    ],
)
def test_a_build_goes_on_when_postgresql_stumbles(
    shared: Cluster, proxy: Proxy, worker: Worker, harm: Callable[[Proxy], None]
) -> None:
    job_id = applying(shared)

    harm(proxy)

    assert shared.finish(job_id) == [JobStatus.SUCCEEDED]
    proxy.heal()


@pytest.mark.parametrize(
    "harm",
    [pytest.param(Proxy.refuse, id="refuses"), pytest.param(Proxy.freeze, id="does not answer")],
)
def test_a_short_outage_within_the_fence_harms_no_build(
    shared: Cluster, proxy: Proxy, worker: Worker, harm: Callable[[Proxy], None]
) -> None:
    job_id = applying(shared)

    harm(proxy)
    # As long as two renewals take: the second of them fails.
    _let_pass(1.2)
    proxy.heal()

    assert shared.finish(job_id) == [JobStatus.SUCCEEDED]


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(b"attempt = attempt + 1", id="claim"),
        pytest.param(b"quota_budget =", id="quota"),
        pytest.param(b"completed_at = now()", id="finish"),
    ],
)
def test_a_lost_answer_to_a_commit_changes_nothing_of_the_outcome(
    shared: Cluster, proxy: Proxy, statement: bytes
) -> None:
    name = f"lossy-{uuid.uuid4().hex[:6]}"
    # A worker of its own: a statement that was prepared is not seen on the wire again.
    _start(shared, proxy, name, tags=f"kind={name}")
    before = proxy.lost_answers
    workspace_id = shared.workspace("plain", tags={"kind": name})
    proxy.lose_answer(statement)

    row = shared.build(workspace_id)

    assert proxy.lost_answers == before + 1
    assert (row["status"], row["attempt"], row["daily_cost"]) == (JobStatus.SUCCEEDED, 1, 4)


def test_an_outage_longer_than_the_fence_stops_terraform_and_keeps_its_state(
    shared: Cluster, proxy: Proxy
) -> None:
    isolated = _start(shared, proxy, "isolated", tags="kind=isolated", host="isolated")
    workspace_id = shared.workspace("slow", tags={"kind": "isolated"}, create_seconds=60)
    job_id = shared.enqueue(workspace_id)
    shared.wait_for_machine(workspace_id)

    proxy.freeze()
    wait_until(lambda: not isolated.terraforms(), "the end of Terraform")
    proxy.heal()

    shared.finish(job_id)
    shared.settle()
    assert shared.row(job_id)["failure_reason"] == FailureReason.WORKER_LOST
    assert shared.machines() == shared.known_machines()
    assert shared.build(workspace_id, Transition.DELETE)["status"] == JobStatus.SUCCEEDED


def test_nothing_is_left_after_the_outages(shared: Cluster, worker: Worker) -> None:
    shared.settle()

    assert shared.remains() == {}


def _let_pass(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, "the time to pass")
