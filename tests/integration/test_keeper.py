"""A build without a lease is stopped at once; a warning of it is for builds that were lost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import event, text
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


@dataclass(kw_only=True)
class Build:
    """A build during whose last moment the leases are renewed."""

    factory: Factory
    end: Callable[[Factory, ClaimedJob], Ending]
    enqueued: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.keeper = LeaseKeeper(self.factory.database, TIMES)
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
    renewing = LeaseKeeper(factory.database, TIMES)
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
