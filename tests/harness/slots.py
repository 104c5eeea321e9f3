"""The build slots of a worker without its process: claims, runs and counts as a worker does."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from db.jobs.mover import Mover
from db.schema.enums import ProvisionerType
from provisioner.build.attempt import BuildSettings
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from tests.harness.factory import LEASE
from worker.metrics.series import Metrics
from worker.slots.dispatch import Dispatcher
from worker.slots.keeper import LeaseKeeper, LeaseTimes

SECOND = timedelta(seconds=1)


def echo_runner(mover: Mover, work_root: Path) -> Runner:
    """Return a runner of scripted builds."""
    return Runner(
        mover=mover,
        engines={ProvisionerType.ECHO: EchoEngine()},
        settings=BuildSettings(work_root=work_root, host_environment={}),
    )


def make_slots(
    mover: Mover, *, runner: Any, metrics: Metrics | None = None, **given: Any
) -> Dispatcher:
    """Return the slots; ``given`` are further arguments of the ``Dispatcher``."""
    counting = metrics or Metrics(CollectorRegistry())
    times = LeaseTimes(lease=LEASE, renew=SECOND, fence=LEASE / 2, fence_grace=SECOND)
    return Dispatcher(
        mover=mover,
        runner=runner,
        keeper=LeaseKeeper(mover.database, times, metrics=counting),
        metrics=counting,
        worker_id=uuid.uuid4(),
        provisioners=tuple(ProvisionerType),
        lease=LEASE,
        **given,
    )
