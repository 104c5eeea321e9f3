"""The runtime that runs builds in a process: one in the threads pool, one per prefork child."""

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
from worker.metrics.series import Metrics
from worker.process.bell import Bell
from worker.process.connections import build_connections
from worker.process.drain import DrainFlag, DrainState
from worker.process.listeners import move_listeners
from worker.process.services import build_settings
from worker.process.watchdog import LastDoorbell
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
        """Start renewing leases, and watching for the drain."""
        self.keeper.start()
        threading.Thread(target=self._watch, name="drain-watch", daemon=True).start()

    def stop(self) -> None:
        """Stop the lease keeper and close the database. Call it after the last build ended."""
        self.keeper.stop()
        self.database.dispose()
        self.tracer.close()

    def _watch(self) -> None:
        """End the builds after the drain; the flag is the parent's only signal to its children."""
        self.flag.wait_for(DrainState.HURRYING, WATCH_INTERVAL_S)
        # Repeat: builds that were claimed just before the drain may start later.
        while True:
            self.keeper.interrupt_all(InterruptReason.DRAIN)
            self.flag.pause(WATCH_INTERVAL_S)


def make_runtime(
    settings: Settings,
    *,
    database_url: str,
    worker_id: uuid.UUID,
    metrics: Metrics,
    bell: Bell,
    flag: DrainFlag,
    last_doorbell: LastDoorbell,
    engines: Mapping[ProvisionerType, Engine],
    slots: int,
) -> Runtime:
    """Return a runtime that is not started yet.

    Args:
        slots: the number of builds that this process runs at once.
    """
    database = _open_database(settings, database_url, slots=slots)
    keeper = LeaseKeeper(database, _lease_times(settings), metrics=metrics)
    tracer = process_tracer()
    mover = Mover(
        database=database,
        listeners=move_listeners(metrics=metrics, ring=bell.ring, tracer=tracer),
        # A draining worker does not wait for a database that is away.
        may_wait=lambda: not flag.is_draining,
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
        on_doorbell=last_doorbell.record,
        # Read at each doorbell: one that arrives after the signal must claim nothing.
        is_draining=lambda: flag.is_draining,
        pass_on=bell.pass_on,
    )
    return Runtime(
        database=database, keeper=keeper, dispatcher=dispatcher, flag=flag, tracer=tracer
    )


def _open_database(settings: Settings, url: str, *, slots: int) -> Database:
    return open_database(
        url,
        pool_size=build_connections(slots),
        prepared_statements=settings.prepared_statements,
        keyring=settings.keyring,
    )


def _lease_times(settings: Settings) -> LeaseTimes:
    return LeaseTimes(
        lease=settings.lease,
        renew=timedelta(seconds=settings.renew_seconds),
        fence=timedelta(seconds=settings.fence_seconds),
        fence_grace=timedelta(seconds=settings.fence_grace_seconds),
    )
