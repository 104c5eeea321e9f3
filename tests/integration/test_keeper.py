"""A build without a lease is stopped at once; a warning of it is for builds that were lost."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from structlog.testing import LogCapture

from db.jobs.results import BuildResult
from db.jobs.transitions import ClaimedJob, complete_job
from db.schema.enums import JobStatus, ProvisionerType, Transition
from provisioner.build.runner import Outcome
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
    end: Callable[[Factory, ClaimedJob], JobStatus]

    def __post_init__(self) -> None:
        self.keeper = LeaseKeeper(self.factory.database, TIMES)
        self.reason: InterruptReason | None = None

    def run(self, job: ClaimedJob, interrupt: Interrupt) -> Outcome:
        status = self.end(self.factory, job)
        self.keeper.renew_once()
        self.reason = interrupt.reason
        return Outcome(status=status, transition=Transition.START, template_name="any", seconds=1.0)

    def dispatch(self) -> None:
        runner: Any = self
        self.factory.build(self.factory.any_workspace())
        Dispatcher(
            database=self.factory.database,
            runner=runner,
            keeper=self.keeper,
            metrics=Metrics(CollectorRegistry()),
            ring=lambda _queue: True,
            worker_id=uuid.uuid4(),
            provisioners=tuple(ProvisionerType),
            lease=LEASE,
        ).run_next_build("builds")


def write_the_end(factory: Factory, job: ClaimedJob) -> JobStatus:
    with factory.database.begin() as session:
        complete_job(session, job_id=job.id, lease_token=job.lease_token, result=BuildResult())
    return JobStatus.SUCCEEDED


def lose_the_lease(factory: Factory, _job: ClaimedJob) -> JobStatus:
    with factory.database.begin() as session:
        session.execute(text("DELETE FROM leases"))
    return JobStatus.UNKNOWN


def keep_the_lease(_factory: Factory, _job: ClaimedJob) -> JobStatus:
    return JobStatus.SUCCEEDED


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
    end: Callable[[Factory, ClaimedJob], JobStatus],
    warnings: list[str],
) -> None:
    Build(factory=factory, end=end).dispatch()
    told = [entry["event"] for entry in logged.entries if entry["log_level"] == "warning"]
    assert told == warnings


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        pytest.param(lose_the_lease, InterruptReason.LEASE_LOST, id="is gone"),
        pytest.param(keep_the_lease, None, id="is there"),
    ],
)
def test_a_renewal_stops_a_build_at_once_whose_lease(
    factory: Factory,
    end: Callable[[Factory, ClaimedJob], JobStatus],
    reason: InterruptReason | None,
) -> None:
    build = Build(factory=factory, end=end)
    build.dispatch()
    assert build.reason is reason
