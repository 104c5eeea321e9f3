"""Whom a sweep takes jobs from: lost workers, and nobody whom an outage has only kept away."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.orm import Session

from db.engine import Database
from db.jobs.mover import Mover
from db.schema.enums import JobStatus, ProvisionerType, Stage
from provisioner.host.recovery import Recoverer
from tests.harness.clock import Clock
from tests.harness.factory import LEASE, Factory
from worker.maintenance.connectivity import Connectivity
from worker.maintenance.sweeper import Sweeper
from worker.metrics.series import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

OVER = timedelta(seconds=-1)


class AwayDatabase(Database):
    """A database that cannot be reached."""

    @contextmanager
    def begin(self) -> Iterator[Session]:
        raise psycopg.OperationalError("the server is away")
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sweeper(factory: Factory, clock: Clock) -> Sweeper:
    """A sweeper that judges nobody for a lease after an outage."""
    return Sweeper(
        mover=Mover(database=factory.database),
        metrics=Metrics(CollectorRegistry()),
        queues=["builds"],
        provisioners=tuple(ProvisionerType),
        slots=1,
        ring=lambda _queue: True,
        count_messages=lambda _queue: 0,
        recoverer=Recoverer(
            mover=Mover(database=factory.database),
            work_root=Path("/nonexistent"),
            max_attempts=3,
            lease=LEASE,
            grace=LEASE,
        ),
        max_attempts=3,
        pending_limit=timedelta(minutes=30),
        connectivity=Connectivity(settle=LEASE, clock=clock),
    )


def let_the_database_be_away(sweeper: Sweeper) -> None:
    """Let one sweep find no database."""
    database = sweeper.mover.database
    away = AwayDatabase(engine=database.engine)
    with pytest.raises(psycopg.OperationalError):
        replace(sweeper, mover=Mover(database=away)).sweep()


def test_a_sweep_puts_a_lost_workers_job_back(factory: Factory, sweeper: Sweeper) -> None:
    job = factory.running_build(lease=OVER)
    sweeper.sweep()
    assert factory.status(job.id) is JobStatus.PENDING


@pytest.mark.parametrize("stage", [Stage.PLAN, Stage.APPLY])
def test_a_sweep_right_after_an_outage_takes_nobodys_job(
    factory: Factory, sweeper: Sweeper, stage: Stage
) -> None:
    job = factory.running_build(lease=OVER, stage=stage)
    let_the_database_be_away(sweeper)
    sweeper.sweep()
    assert factory.status(job.id) is JobStatus.RUNNING


def test_a_sweep_judges_again_once_the_outage_is_a_lease_ago(
    factory: Factory, sweeper: Sweeper, clock: Clock
) -> None:
    job = factory.running_build(lease=OVER)
    let_the_database_be_away(sweeper)
    clock.now += LEASE.total_seconds()
    sweeper.sweep()
    assert factory.status(job.id) is JobStatus.PENDING
