"""What runs builds within one process: in the threads pool one, in prefork one per child."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from db.engine import Database, open_database
from db.jobs.mover import Mover
from db.schema.enums import ProvisionerType
from provisioner.build.runner import Runner
from provisioner.engines.port import Engine
from provisioner.host.interrupt import InterruptReason
from worker.broker.doorbell import Ring
from worker.metrics.series import Metrics
from worker.process.connections import build_connections
from worker.process.drain import DrainFlag, DrainState
from worker.process.listeners import move_listeners
from worker.process.services import build_settings
from worker.process.watchdog import Pulse
from worker.settings import Settings
from worker.slots.dispatch import Dispatcher
from worker.slots.keeper import LeaseKeeper, LeaseTimes
from worker.tracing.traces import BuildTracer, process_tracer

WATCH_INTERVAL_S = 0.2


@dataclass(kw_only=True)
class Runtime:
    """The database, the lease keeper and the dispatcher of one process."""

    database: Database
    keeper: LeaseKeeper
    dispatcher: Dispatcher
    flag: DrainFlag
    tracer: BuildTracer

    def start(self) -> None:
        """Begin to renew leases, and to listen for the drain."""
        self.keeper.start()
        threading.Thread(target=self._watch, name="drain-watch", daemon=True).start()

    def stop(self) -> None:
        """Release what ``start`` took. To be called when no build runs any more."""
        self.keeper.stop()
        self.database.dispose()
        self.tracer.close()

    def _watch(self) -> None:
        """End the builds when the flag says so: the parent has no other way to tell a child."""
        self.flag.wait_for(DrainState.HURRYING, WATCH_INTERVAL_S)
        # Builds that were claimed just before the drain may still begin.
        while True:
            self.keeper.interrupt_all(InterruptReason.DRAIN)
            self.flag.pause(WATCH_INTERVAL_S)


def make_runtime(
    settings: Settings,
    *,
    database_url: str,
    worker_id: uuid.UUID,
    metrics: Metrics,
    ring: Ring,
    flag: DrainFlag,
    pulse: Pulse,
    engines: Mapping[ProvisionerType, Engine],
    slots: int,
) -> Runtime:
    """Return a runtime, not started yet.

    Args:
        slots: how many builds this process runs at once.
    """
    database = open_database(
        database_url,
        pool_size=build_connections(slots),
        prepared_statements=settings.prepared_statements,
    )
    keeper = LeaseKeeper(
        database,
        LeaseTimes(
            lease=settings.lease,
            renew=timedelta(seconds=settings.renew_seconds),
            fence=timedelta(seconds=settings.fence_seconds),
            fence_grace=timedelta(seconds=settings.fence_grace_seconds),
        ),
    )
    tracer = process_tracer()
    mover = Mover(
        database=database,
        listeners=move_listeners(metrics=metrics, ring=ring, tracer=tracer),
        # A worker that ends does not wait for a database that is away.
        may_wait=lambda: flag.state is DrainState.WORKING,
    )
    runner = Runner(
        mover=mover,
        engines=engines,
        settings=build_settings(settings),
        events=metrics,
        tracer=tracer,
    )
    dispatcher = Dispatcher(
        mover=mover,
        runner=runner,
        keeper=keeper,
        metrics=metrics,
        worker_id=worker_id,
        provisioners=tuple(engines),
        lease=settings.lease,
        doorbell_came=pulse.beat,
        # Asked at each doorbell: one that is on its way when the signal comes claims nothing.
        is_draining=lambda: flag.state is not DrainState.WORKING,
    )
    return Runtime(
        database=database, keeper=keeper, dispatcher=dispatcher, flag=flag, tracer=tracer
    )
