"""A sweeper rings for what its own worker could take, and for no more than its slots hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry

from db.jobs.mover import Mover
from db.jobs.tags import queue_name, served_queues
from db.schema.enums import ProvisionerType
from provisioner.host.recovery import Recoverer
from tests.harness.factory import LEASE, Factory
from worker.maintenance.sweeper import Sweeper
from worker.metrics.series import Metrics

GPU = {"gpu": "yes"}
SLOTS = 3


class Broker:
    """Lists of messages that nobody takes."""

    def __init__(self, messages: Sequence[str] = (), *, is_away: bool = False) -> None:
        self.messages = list(messages)
        self.asked: list[str] = []
        self.is_away = is_away

    def ring(self, queue: str) -> bool:
        self.messages.append(queue)
        return True

    def count(self, queue: str) -> int:
        self.asked.append(queue)
        if self.is_away:
            raise OperationalError
        return self.messages.count(queue)


def sweeper(
    factory: Factory,
    broker: Broker,
    *,
    tags: dict[str, str] | None = None,
    provisioner: ProvisionerType = ProvisionerType.ECHO,
) -> Sweeper:
    """The sweeper of a worker with three slots; other workers do not count."""
    return Sweeper(
        mover=Mover(database=factory.database),
        metrics=Metrics(CollectorRegistry()),
        queues=served_queues(tags or {}),
        provisioners=[provisioner],
        slots=SLOTS,
        ring=broker.ring,
        count_messages=broker.count,
        recoverer=Recoverer(
            mover=Mover(database=factory.database),
            work_root=Path("/nonexistent"),
            max_attempts=3,
            lease=LEASE,
            grace=timedelta(minutes=5),
        ),
        max_attempts=3,
        pending_limit=timedelta(minutes=30),
    )


def let_wait(factory: Factory, count: int, *, tags: dict[str, str] | None = None) -> None:
    for _ in range(count):
        factory.build(factory.any_workspace(tags=tags or {}))


@pytest.mark.parametrize(
    ("waiting", "messages", "rung"),
    [
        pytest.param(0, 0, 0, id="nothing waits"),
        pytest.param(1, 0, 1, id="one waits"),
        pytest.param(1, 1, 0, id="one waits and is announced"),
        pytest.param(2, 1, 1, id="one of two is announced"),
        pytest.param(SLOTS + 2, 0, SLOTS, id="more wait than there are slots"),
        pytest.param(SLOTS + 2, SLOTS, 0, id="as many are announced as there are slots"),
        pytest.param(1, 2, 0, id="more are announced than wait"),
    ],
)
def test_it_rings_for_jobs_that_nothing_announces_up_to_its_slots(
    factory: Factory, waiting: int, messages: int, rung: int
) -> None:
    let_wait(factory, waiting)
    broker = Broker(["builds"] * messages)
    assert sweeper(factory, broker).ring_forgotten_queues() == rung
    assert broker.messages == ["builds"] * (messages + rung)


def test_sweepers_that_take_turns_ring_no_more_than_one_of_them_does(factory: Factory) -> None:
    let_wait(factory, SLOTS + 2)
    broker = Broker()
    for _ in range(5):
        sweeper(factory, broker).ring_forgotten_queues()
    assert len(broker.messages) == SLOTS


def test_it_does_not_ring_for_a_queue_that_it_does_not_serve(factory: Factory) -> None:
    let_wait(factory, 1, tags=GPU)
    broker = Broker()
    assert sweeper(factory, broker).ring_forgotten_queues() == 0


def test_it_rings_for_each_queue_that_it_serves(factory: Factory) -> None:
    let_wait(factory, 1, tags=GPU)
    let_wait(factory, 1, tags=GPU | {"zone": "a"})
    let_wait(factory, 1)
    broker = Broker()
    sweeper(factory, broker, tags=GPU | {"zone": "a"}).ring_forgotten_queues()
    assert sorted(broker.messages) == sorted(map(queue_name, (GPU, GPU | {"zone": "a"})))


def test_it_does_not_ring_for_an_engine_that_its_worker_lacks(factory: Factory) -> None:
    let_wait(factory, 1)
    broker = Broker()
    terraform = sweeper(factory, broker, provisioner=ProvisionerType.TERRAFORM)
    assert terraform.ring_forgotten_queues() == 0


def test_it_does_not_ring_for_jobs_that_run_or_have_ended(factory: Factory) -> None:
    factory.running_build()
    factory.finished_build()
    assert sweeper(factory, Broker()).ring_forgotten_queues() == 0


def test_it_asks_the_broker_only_about_queues_where_a_job_waits(factory: Factory) -> None:
    let_wait(factory, 1, tags=GPU)
    broker = Broker()
    sweeper(factory, broker, tags=GPU | {"zone": "a"}).ring_forgotten_queues()
    assert broker.asked == [queue_name(GPU)]


def test_it_does_not_ring_while_the_broker_is_away(factory: Factory) -> None:
    let_wait(factory, 1)
    broker = Broker(is_away=True)
    assert sweeper(factory, broker).ring_forgotten_queues() == 0
