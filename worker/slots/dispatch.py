"""Handles a doorbell: claims the best job of its queue and runs it in the calling thread."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.faults import fault_point
from db.jobs.mover import Mover
from db.jobs.transitions import ClaimedJob, claim_job
from db.jobs.workers import is_drained
from db.outage import retry_outage
from db.schema.enums import ProvisionerType
from provisioner.build.endings import Ending, Lost
from provisioner.build.runner import Runner
from provisioner.host.interrupt import Interrupt
from worker.metrics.series import Metrics
from worker.slots.keeper import LeaseKeeper

log = structlog.get_logger("worker")


@dataclass(kw_only=True)
class Dispatcher:
    """The build slots of one process: any number of threads call ``run_next_build``."""

    mover: Mover
    runner: Runner
    keeper: LeaseKeeper
    metrics: Metrics
    worker_id: uuid.UUID
    provisioners: Sequence[ProvisionerType]
    lease: timedelta
    on_doorbell: Callable[[], None] = lambda: None
    is_draining: Callable[[], bool] = lambda: False
    pass_on: Callable[[str], object] = lambda _queue: None

    def run_next_build(self, queue: str, *, passed_on: bool = False) -> Ending | None:
        """Claim and run the best job of ``queue``; return None if there is nothing to claim.

        A draining worker claims nothing, and passes the doorbell on: Redis gives it to the worker
        that has waited longest. A doorbell is passed on once, so that drained workers do not
        send it to and fro; then the job waits for the sweeper of another worker.
        """
        self.on_doorbell()
        asked_at, job = (0.0, None) if self.is_draining() else self._claim(queue)
        if job is not None:
            return self._run(job, asked_at)
        if self._claims_nothing() and not passed_on:
            self.pass_on(queue)
        return None

    def _claims_nothing(self) -> bool:
        """Return whether this worker drains; otherwise nothing waited for it."""
        if self.is_draining():
            return True
        self.metrics.empty_doorbells.inc()
        try:
            with self.mover.database.begin() as session:
                return is_drained(session, worker_id=self.worker_id)
        except SQLAlchemyError:
            return False  # a sweeper rings

    def _claim(self, queue: str) -> tuple[float, ClaimedJob | None]:
        """Return the time of the request, by ``time.monotonic``, and the job if there is one.

        The mover finds out whether a claim took effect whose answer was lost, so a retry claims no
        second job. Each try takes a new time: the lease is no older than the claim that succeeded.
        """

        def claim() -> tuple[float, ClaimedJob | None]:
            fault_point("claim.begin")
            asked_at = time.monotonic()
            job = self.mover.run(lambda session: self._take(session, queue))
            fault_point("claim.committed")
            return asked_at, job

        return retry_outage(claim, may_go_on=lambda: not self.is_draining())

    def _take(self, session: Session, queue: str) -> ClaimedJob | None:
        return claim_job(
            session,
            queue=queue,
            worker_id=self.worker_id,
            lease=self.lease,
            provisioners=self.provisioners,
        )

    def _run(self, job: ClaimedJob, asked_at: float) -> Ending:
        interrupt = Interrupt()
        with (
            self.metrics.running(job.provisioner),
            self.keeper.keep(job.lease.token, interrupt, asked_at=asked_at),
        ):
            ending = self.runner.run(job, interrupt)
        if isinstance(ending, Lost):
            log.warning("lease.lost", job_id=str(job.id), attempt=job.attempt)
            self.metrics.leases_lost.inc()
        return ending
