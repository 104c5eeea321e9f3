"""Answer a doorbell: claim the best job of its queue and run it in the calling thread."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from db.engine import Database
from db.faults import fault_point
from db.jobs.endings import EndedJob, read_ending
from db.jobs.transitions import ClaimedJob, claim_job
from db.outage import is_outage, retry_outage
from db.schema.enums import JobStatus, ProvisionerType
from provisioner.build.runner import Outcome, Runner
from provisioner.host.interrupt import Interrupt
from worker.broker.doorbell import Ring
from worker.metrics.series import Metrics
from worker.slots.keeper import LeaseKeeper

log = structlog.get_logger("worker")


@dataclass(kw_only=True)
class Dispatcher:
    """The build slots of one process: any number of threads call ``run_next_build``."""

    database: Database
    runner: Runner
    keeper: LeaseKeeper
    metrics: Metrics
    ring: Ring
    worker_id: uuid.UUID
    provisioners: Sequence[ProvisionerType]
    lease: timedelta
    doorbell_came: Callable[[], None] = lambda: None
    is_draining: Callable[[], bool] = lambda: False

    def run_next_build(self, queue: str) -> JobStatus | None:
        """Claim and run the best job of ``queue``; None when there is nothing to claim.

        A draining worker claims nothing: the row stays pending, and the sweeper of another
        worker rings for it.
        """
        self.doorbell_came()
        if self.is_draining():
            return None
        asked_at, job = retry_outage(
            lambda: self._claim(queue), may_go_on=lambda: not self.is_draining()
        )
        if job is None:
            self.metrics.empty_doorbells.inc()
            return None
        return self._run(job, asked_at).status

    def _claim(self, queue: str) -> tuple[float, ClaimedJob | None]:
        """Return when the lease was asked for, by ``time.monotonic``, and the job if there is one.

        Each try has a time of its own: the lease is no older than the claim that was answered.
        """
        fault_point("claim.begin")
        asked_at = time.monotonic()
        with self.database.begin() as session:
            job = claim_job(
                session,
                queue=queue,
                worker_id=self.worker_id,
                lease=self.lease,
                provisioners=self.provisioners,
            )
        fault_point("claim.committed")
        return asked_at, job

    def _run(self, job: ClaimedJob, asked_at: float) -> Outcome:
        facts = {"job_id": str(job.id), "attempt": job.attempt}
        self.metrics.job_claimed(job.queue_wait_s)
        log.info("job.claimed", queue=job.queue, wait_s=round(job.queue_wait_s, 3), **facts)
        interrupt = Interrupt()
        with (
            self.metrics.running(job.provisioner),
            self.keeper.keep(job.lease.token, interrupt, asked_at=asked_at),
        ):
            outcome = self.runner.run(job, interrupt)
        self._count(job, outcome)
        log.info(
            "job.ended",
            status=outcome.status.value,
            seconds=round(outcome.seconds, 3),
            error=outcome.failure.error if outcome.failure else None,
            error_code=outcome.failure.error_code if outcome.failure else None,
            **facts,
        )
        if outcome.status is JobStatus.PENDING:
            self.ring(job.queue)
        return outcome

    def _count(self, job: ClaimedJob, outcome: Outcome) -> None:
        ended = self._ended_unanswered(job) if outcome.status is JobStatus.UNKNOWN else None
        if ended is not None:
            self.metrics.job_finished(ended)
            return
        if outcome.status is JobStatus.UNKNOWN:
            log.warning("lease.lost", job_id=str(job.id), attempt=job.attempt)
        self.metrics.job_ended(job.provisioner, outcome)

    def _ended_unanswered(self, job: ClaimedJob) -> EndedJob | None:
        """Return how this attempt finished a job whose lease seemed lost; None if it did not.

        The answer to its COMMIT can be lost together with the database. Until that is back,
        this slot has nothing to do anyway.
        """

        def read() -> EndedJob | None:
            with self.database.begin() as session:
                ending = read_ending(session, job_id=job.id)
            return ending.job if ending and ending.lease_token == job.lease.token else None

        try:
            return retry_outage(read, may_go_on=lambda: not self.is_draining())
        except Exception as error:
            if not is_outage(error):
                raise
            return None
