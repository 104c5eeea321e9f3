"""A build without a lease is stopped at once; a warning of it is for builds that were lost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import event, text
from sqlalchemy.orm import Session
from structlog.testing import LogCapture

from db.engine import Database
from db.jobs.finish import complete_job
from db.jobs.mover import Mover
from db.jobs.results import BuildResult
from db.jobs.transitions import ClaimedJob, cancel_job
from db.schema.enums import ProvisionerType
from provisioner.build.endings import Canceled, Ending, Lost, Succeeded
from provisioner.host.interrupt import Interrupt, InterruptReason
from tests.harness.factory import LEASE, Factory
from tests.harness.waiting import wait_until
from worker.metrics.series import Metrics
from worker.slots import dispatch, keeper
from worker.slots.dispatch import Dispatcher
from worker.slots.keeper import LeaseKeeper, LeaseTimes

SECOND = timedelta(seconds=1)
TIMES = LeaseTimes(lease=LEASE, renew=SECOND, fence=LEASE / 2, fence_grace=SECOND)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What is logged, however other tests of this process have set up logging."""
    capture = LogCapture()
    for module in (dispatch, keeper):
        monkeypatch.setattr(module, "log", structlog.wrap_logger(None, processors=[capture]))
    return capture


def keeper_of(
    database: Database, *, renew: timedelta = SECOND, metrics: Metrics | None = None
) -> LeaseKeeper:
    counting = metrics or Metrics(CollectorRegistry())
    return LeaseKeeper(database, replace(TIMES, renew=renew), metrics=counting)


@dataclass(kw_only=True)
class Build:
    """A build during whose last moment the leases are renewed."""

    factory: Factory
    end: Callable[[Factory, ClaimedJob], Ending]
    enqueued: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.keeper = keeper_of(self.factory.database)
        self.reason: InterruptReason | None = None

    def run(self, job: ClaimedJob, interrupt: Interrupt) -> Ending:
        ending = self.end(self.factory, job)
        self.keeper.renew_once()
        self.reason = interrupt.reason
        return ending

    def dispatch(self) -> None:
        runner: Any = self
        self.factory.build(self.factory.any_workspace())
        self.enqueued()
        Dispatcher(
            mover=Mover(database=self.factory.database),
            runner=runner,
            keeper=self.keeper,
            metrics=Metrics(CollectorRegistry()),
            worker_id=uuid.uuid4(),
            provisioners=tuple(ProvisionerType),
            lease=LEASE,
        ).run_next_build("builds")


def write_the_end(factory: Factory, job: ClaimedJob) -> Ending:
    with factory.database.begin() as session:
        complete_job(session, job.lease, result=BuildResult())
    return Succeeded(result=BuildResult())


def lose_the_lease(factory: Factory, _job: ClaimedJob) -> Ending:
    with factory.database.begin() as session:
        session.execute(text("DELETE FROM leases"))
    return Lost()


def request_a_cancel(factory: Factory, job: ClaimedJob) -> Ending:
    with factory.database.begin() as session:
        cancel_job(session, job_id=job.id)
    return Canceled(result=BuildResult())


def keep_the_lease(_factory: Factory, _job: ClaimedJob) -> Ending:
    return Succeeded(result=BuildResult())


@pytest.mark.parametrize(
    ("end", "warnings"),
    [
        pytest.param(write_the_end, [], id="has just written its end"),
        pytest.param(lose_the_lease, ["lease.lost"], id="was lost"),
    ],
)
def test_a_warning_tells_of_a_lost_build_and_not_of_one_that(
    factory: Factory,
    logged: LogCapture,
    end: Callable[[Factory, ClaimedJob], Ending],
    warnings: list[str],
) -> None:
    Build(factory=factory, end=end).dispatch()
    told = [entry["event"] for entry in logged.entries if entry["log_level"] == "warning"]
    assert told == warnings


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        pytest.param(lose_the_lease, InterruptReason.LEASE_LOST, id="has lost its lease"),
        pytest.param(request_a_cancel, InterruptReason.CANCEL, id="is to be canceled"),
        pytest.param(keep_the_lease, None, id="may go on"),
    ],
)
def test_a_renewal_tells_a_build_at_once_that_it(
    factory: Factory,
    end: Callable[[Factory, ClaimedJob], Ending],
    reason: InterruptReason | None,
) -> None:
    build = Build(factory=factory, end=end)
    build.dispatch()
    assert build.reason is reason


# A lease counts from when it was asked for: an answer that comes late must not make it longer.


class FencedInterrupt(Interrupt):
    """Notes until when its build may write."""

    def __init__(self) -> None:
        super().__init__()
        self.fences: list[float] = []

    def extend(self, fence_at: float, *, grace: timedelta) -> None:
        self.fences.append(fence_at)
        super().extend(fence_at, grace=grace)


@contextmanager
def connections_noted(database: Database) -> Iterator[list[float]]:
    """Note when connections are taken for statements, by ``time.monotonic``."""
    taken: list[float] = []

    def note(*_: object) -> None:
        taken.append(time.monotonic())

    event.listen(database.engine, "checkout", note)
    yield taken
    event.remove(database.engine, "checkout", note)


def test_a_renewed_lease_counts_from_the_request_and_not_from_the_answer(factory: Factory) -> None:
    job = factory.running_build()
    interrupt = FencedInterrupt()
    renewing = keeper_of(factory.database)
    with (
        renewing.keep(job.lease.token, interrupt),
        connections_noted(factory.database) as requests,
    ):
        renewing.renew_once()
    _claimed_until, renewed_until = interrupt.fences
    assert renewed_until <= requests[0] + TIMES.fence.total_seconds()


def test_a_claimed_lease_counts_from_the_request_and_not_from_the_answer(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt = FencedInterrupt()
    monkeypatch.setattr(dispatch, "Interrupt", lambda: interrupt)
    with connections_noted(factory.database) as requests:
        Build(factory=factory, end=keep_the_lease, enqueued=requests.clear).dispatch()
    assert interrupt.fences[0] <= requests[0] + TIMES.fence.total_seconds()


# The thread that renews.


@contextmanager
def renewing_thread(
    database: Database, *, renew: timedelta = SECOND / 100
) -> Iterator[LeaseKeeper]:
    made = keeper_of(database, renew=renew)
    made.start()
    yield made
    made.stop()


def has_run_out(factory: Factory, job: ClaimedJob) -> bool:
    with factory.database.begin() as session:
        query = text("SELECT expires_at < now() FROM leases WHERE job_id = :id")
        return bool(session.execute(query, {"id": job.id}).scalar_one())


def test_a_lease_is_renewed_as_long_as_its_build_runs(factory: Factory) -> None:
    job = factory.running_build(lease=-SECOND)
    with (
        renewing_thread(factory.database) as renewing,
        renewing.keep(job.lease.token, Interrupt()),
    ):
        wait_until(lambda: not has_run_out(factory, job), "a renewal")


def test_the_lease_of_a_build_that_has_ended_is_not_renewed(factory: Factory) -> None:
    job = factory.running_build(lease=-SECOND)
    renewing = keeper_of(factory.database)
    with renewing.keep(job.lease.token, Interrupt()):
        pass
    renewing.renew_once()
    assert has_run_out(factory, job)


class BrokenDatabase(Database):
    """A database whose first transaction fails."""

    failures: list[Exception]

    @contextmanager
    def begin(self) -> Iterator[Session]:
        if self.failures:
            raise self.failures.pop()
        with super().begin() as session:
            yield session


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(psycopg.OperationalError("the server is away"), id="outage"),
        pytest.param(ValueError("a bug"), id="bug"),
    ],
)
def test_leases_are_renewed_after_a_renewal_that_failed(factory: Factory, error: Exception) -> None:
    job = factory.running_build(lease=-SECOND)
    broken = BrokenDatabase(engine=factory.database.engine)
    object.__setattr__(broken, "failures", [error])
    with renewing_thread(broken) as renewing, renewing.keep(job.lease.token, Interrupt()):
        wait_until(lambda: not has_run_out(factory, job), "a renewal after the failure")


def test_failed_renewals_are_counted_each_and_told_once_with_their_end(
    factory: Factory, logged: LogCapture
) -> None:
    job = factory.running_build(lease=-SECOND)
    broken = BrokenDatabase(engine=factory.database.engine)
    object.__setattr__(broken, "failures", [psycopg.OperationalError("away")] * 3)
    registry = CollectorRegistry()
    renewing = keeper_of(broken, metrics=Metrics(registry))
    with renewing.keep(job.lease.token, Interrupt()):
        for _ in range(5):
            renewing.renew_once()
    assert registry.get_sample_value("provisionerd_lease_renewal_failures_total") == 3
    told = [(entry["event"], entry.get("failures")) for entry in logged.entries]
    assert told == [("lease.renew_failed", None), ("lease.recovered", 3)]


def test_every_build_hears_that_the_drain_time_is_over(factory: Factory) -> None:
    renewing = keeper_of(factory.database)
    first, second = Interrupt(), Interrupt()
    with renewing.keep(uuid.uuid4(), first), renewing.keep(uuid.uuid4(), second):
        renewing.interrupt_all(InterruptReason.DRAIN)
    assert (first.reason, second.reason) == (InterruptReason.DRAIN, InterruptReason.DRAIN)


def test_a_build_whose_lease_is_gone_gets_the_grace_of_the_fence(factory: Factory) -> None:
    interrupt = Interrupt()
    renewing = keeper_of(factory.database)
    with renewing.keep(uuid.uuid4(), interrupt):
        renewing.renew_once()
        latest = time.monotonic() + TIMES.fence_grace.total_seconds()
    assert interrupt.kill_at is not None
    assert interrupt.kill_at <= latest
