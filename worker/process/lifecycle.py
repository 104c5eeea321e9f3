"""The main process of a worker: what it opens, starts and stops."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.jobs.mover import Mover
from db.jobs.tags import UNTAGGED_QUEUE, served_queues
from db.jobs.workers import sign_off_worker, touch_worker
from db.reads.queues import WaitingWork, waiting_work
from db.schema.enums import ProvisionerType
from provisioner.engines.port import Engine
from provisioner.host.recovery import Recoverer
from worker.broker.client import BrokerClient
from worker.broker.errors import BROKER_AWAY
from worker.maintenance.autostop import Autostop
from worker.maintenance.chores import Chore
from worker.maintenance.connectivity import Connectivity
from worker.maintenance.notices import TURN_S, QueueListener
from worker.maintenance.pruner import Pruner
from worker.maintenance.sweeper import Sweeper
from worker.metrics.circuits import CircuitCollector
from worker.metrics.exposition import serve_metrics
from worker.metrics.multiprocess import (
    forget_lost_processes,
    worker_registry,
)
from worker.metrics.queues import COUNT_TO, QueueCollector
from worker.metrics.series import Metrics
from worker.metrics.servers import INTERVAL_S, Probe, ServerCollector, server_probes
from worker.process.application import App
from worker.process.bell import Bell
from worker.process.drain import DrainFlag
from worker.process.listeners import move_listeners
from worker.process.opening import Services
from worker.process.runtime import make_runtime
from worker.process.shutdown import Shutdown
from worker.process.watchdog import EXIT_STATUS, LastDoorbell, Watchdog
from worker.settings import Settings

log = structlog.get_logger("worker")


@dataclass(kw_only=True)
class Parent:
    """The objects of the worker's main process."""

    app: App
    settings: Settings
    services: Services
    broker: BrokerClient  #: only for the parent; each child creates its own
    engines: Mapping[ProvisionerType, Engine]  #: created once; children of prefork inherit them
    worker_id: uuid.UUID
    metrics: Metrics
    flag: DrainFlag
    last_doorbell: LastDoorbell
    stack: ExitStack

    def make_runtime(self, *, slots: int) -> None:
        """Create and start the runtime of this process."""
        runtime = make_runtime(
            self.settings,
            database_url=self.services.database_url,
            worker_id=self.worker_id,
            metrics=self.metrics,
            # A new client for this process: connections must not cross the fork of prefork.
            bell=Bell(BrokerClient(self.services.redis_url), metrics=self.metrics),
            flag=self.flag,
            last_doorbell=self.last_doorbell,
            engines=self.engines,
            slots=slots,
        )
        runtime.start()
        self.app.runtime = runtime

    def start_chores(self) -> None:
        """Install the signal handlers and start the worker's chores."""
        shutdown = self._shutdown()
        shutdown.take_signals()
        watchdog = self._watchdog(shutdown)
        bell = Bell(self.broker, metrics=self.metrics)
        mover = Mover(
            database=self.services.database,
            listeners=move_listeners(metrics=self.metrics, ring=bell.ring),
        )
        sweeper = self._sweeper(mover, bell)
        listener = QueueListener(self.services.database, ring=bell.ring)
        for chore in (
            Chore("heartbeat", self.settings.heartbeat_seconds, self._touch),
            Chore("recovery", self.settings.sweep_seconds, sweeper.recover_builds),
            Chore("sweeper", self.settings.sweep_seconds, sweeper.sweep),
            Chore("doorbells", self.settings.sweep_seconds, sweeper.ring_forgotten_queues),
            Chore("autostop", self.settings.sweep_seconds, self._autostop(bell).stop_due),
            Chore("watchdog", self.settings.watchdog_seconds / 6, watchdog.check),
            *self._pruning(),
            Chore("notices", TURN_S, listener.listen),
        ):
            chore.start()
            self.stack.callback(chore.stop)
        self.stack.callback(listener.close)  # before its chore is stopped

    def serve_metrics(self) -> None:
        """Serve this worker's metrics, unless they are turned off."""
        if not self.settings.metrics_address:
            return
        registry = worker_registry()
        registry.register(QueueCollector(self.services.database, count_to=COUNT_TO))
        registry.register(CircuitCollector(self.services.database))
        registry.register(ServerCollector(self._start_probes()))
        server = serve_metrics(
            self.settings.metrics_address, registry=registry, readiness=self._readiness
        )
        self.stack.callback(server.stop)
        log.info("metrics.served", port=server.port)

    def close(self) -> None:
        """Stop everything, after the last build has ended."""
        if self.app.runtime is not None:
            self.app.runtime.stop()
        try:
            with self.services.database.begin() as session:
                sign_off_worker(session, worker_id=self.worker_id)
        except SQLAlchemyError as error:
            # Without this the worker's row goes stale after a while.
            log.warning("worker.not_signed_off", error=str(error))
        self.stack.close()
        log.info("worker.stopped")

    def _start_probes(self) -> Sequence[Probe]:
        probes = server_probes(
            database_url=self.services.database_url, redis_url=self.services.redis_url
        )
        for probe in probes:
            chore = Chore(f"probe-{probe.server}", INTERVAL_S, probe.check)
            chore.start()
            self.stack.callback(chore.stop)
        return probes

    def _sweeper(self, mover: Mover, bell: Bell) -> Sweeper:
        settings = self.settings
        recoverer = Recoverer(
            mover=mover,
            work_root=settings.work_root,
            max_attempts=settings.max_attempts,
            lease=settings.lease,
            grace=timedelta(seconds=settings.interrupt_grace_seconds),
        )
        return Sweeper(
            mover=mover,
            metrics=self.metrics,
            queues=served_queues(settings.tags),
            provisioners=settings.engines,
            slots=settings.concurrency,
            ring=bell.ring,
            count_messages=bell.count,
            recoverer=recoverer,
            max_attempts=settings.max_attempts,
            pending_limit=timedelta(seconds=settings.pending_limit_seconds),
            worker_id=self.worker_id,
            connectivity=Connectivity(settle=settings.lease),
        )

    def _autostop(self, bell: Bell) -> Autostop:
        return Autostop(
            database=self.services.database, ring=bell.ring, retry_after=self.settings.stop_retry
        )

    def _pruning(self) -> list[Chore]:
        if not self.settings.prune_hours:
            return []
        pruner = Pruner(
            database=self.services.database,
            worker_id=self.worker_id,
            retention=self.settings.retention,
            may_go_on=lambda: not self.flag.is_draining,
        )
        return [Chore("pruner", self.settings.prune_hours * 3600, pruner.prune)]

    def _shutdown(self) -> Shutdown:
        return Shutdown(
            flag=self.flag,
            drain_seconds=self.settings.drain_seconds,
            write_drain=self._touch,
            running=self._running,
        )

    def _running(self) -> int:
        if self.app.runtime is not None:
            return self.app.runtime.keeper.running
        try:
            return self._waiting_work().held
        except SQLAlchemyError:
            # Assume that children of prefork are building.
            return 1

    def _watchdog(self, shutdown: Shutdown) -> Watchdog:
        def end_worker() -> None:
            self.metrics.watchdog_restarts.inc()
            shutdown.end(EXIT_STATUS)

        return Watchdog(
            limit=timedelta(seconds=self.settings.watchdog_seconds),
            slots=self.settings.concurrency,
            read_work=self._waiting_work,
            last_doorbell=lambda: self.last_doorbell.at,
            is_draining=lambda: self.flag.is_draining,
            broker_answers=self._broker_answers,
            end_worker=end_worker,
        )

    def _waiting_work(self) -> WaitingWork:
        with self.services.database.begin() as session:
            return waiting_work(session, worker_id=self.worker_id)

    def _broker_answers(self) -> bool:
        try:
            self.broker.count(UNTAGGED_QUEUE)
        except BROKER_AWAY:
            return False
        return True

    def _touch(self) -> None:
        forget_lost_processes()
        with self.services.database.begin() as session:
            touch_worker(session, worker_id=self.worker_id, draining=self.flag.is_draining)

    def _readiness(self) -> str | None:
        return "draining" if self.flag.is_draining else None
