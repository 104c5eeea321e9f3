"""Repairs what a lost message or a lost worker leaves behind.

Every worker sweeps every few seconds; row locks that are skipped when taken let the sweepers
share the work. Nothing here is needed while all is well.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from db.engine import Database
from db.jobs.endings import Ending, read_ending
from db.jobs.reaper import ReapedJob, reap_expired_lease
from db.jobs.transitions import Failure, expire_job
from db.outage import is_outage, retry_outage
from db.reads.queues import claimable_jobs, overdue_jobs
from db.schema.enums import FailureReason, JobStatus, ProvisionerType
from provisioner.host.recovery import Recoverer
from worker.broker.doorbell import Ring
from worker.broker.errors import BROKER_AWAY
from worker.maintenance.contact import Contact
from worker.metrics.series import Metrics

log = structlog.get_logger("worker")

CountMessages = Callable[[str], int]
"""How many doorbells lie in the broker for a queue. May raise when the broker is away."""


@dataclass(frozen=True, kw_only=True)
class Sweeper:
    """One pass over jobs and queues at a time.

    Args:
        queues: those that this worker serves; it rings for no others.
        provisioners: the engines that it offers.
        slots: how many builds it runs at once.
    """

    database: Database
    metrics: Metrics
    queues: Sequence[str]
    provisioners: Sequence[ProvisionerType]
    slots: int
    ring: Ring
    count_messages: CountMessages
    recoverer: Recoverer
    max_attempts: int
    pending_limit: timedelta
    contact: Contact = field(default_factory=lambda: Contact(settle=timedelta()))

    def sweep(self) -> None:
        """Take jobs from lost workers, and fail those that waited too long.

        Recovering and ringing are chores of their own: a full disk or a hung broker must not
        keep jobs with lost workers.
        """
        with self.contact.watch():
            self.expire_pending_jobs()
        if self.contact.is_settled():
            self.reap_lost_jobs()

    def recover_builds(self) -> None:
        """Store the states that lost workers left on this host, and close their jobs."""
        for recovery in self.recoverer.recover():
            if recovery.ending:
                self.metrics.job_finished(recovery.ending.job)
            if recovery.reaped:
                self._tell_reaped(recovery.reaped)

    def reap_lost_jobs(self) -> list[ReapedJob]:
        """Take every job whose lease ran out; there is no cap that would hide a backlog."""
        reaped = []
        while job := self._reap_one():
            reaped.append(job)
            self._tell_reaped(job)
        return reaped

    def expire_pending_jobs(self) -> list[uuid.UUID]:
        """Fail the jobs that nobody claimed within the limit."""
        failure = Failure(
            reason=FailureReason.PENDING_LIMIT,
            message=f"no worker claimed this build within {_minutes(self.pending_limit)};"
            " `provisionerd queue explain JOB` tells which workers could",
        )
        with self._counted() as (session, ended):
            overdue = overdue_jobs(session, limit=self.pending_limit)
            expired = [
                job.job_id
                for job in overdue
                if expire_job(session, job_id=job.job_id, failure=failure)
            ]
            ended.extend(expired)
        for job_id in expired:
            log.warning("job.expired", job_id=str(job_id))
        return expired

    def ring_forgotten_queues(self) -> int:
        """Ring for jobs of our queues that no doorbell announces; return how many rings it took.

        One ring for each slot of ours is enough: the other workers ring for theirs, and the next
        sweep rings again. Nobody would hear a ring for a queue without workers.
        """
        with self.database.begin() as session:
            waiting = claimable_jobs(
                session,
                queues=self.queues,
                provisioners=self.provisioners,
                count_to=self.slots,
            )
        missing = [(queue, self._missing_rings(queue, depth)) for queue, depth in waiting.items()]
        rung = 0
        for queue, count in missing:
            if count and not self._ring(queue, count):
                break  # the broker is away; every further ring would wait for its time-out
            rung += count
        if rung:
            log.info("doorbell.rerung", count=rung)
            self.metrics.rerung_doorbells.inc(rung)
        return rung

    def _ring(self, queue: str, count: int) -> bool:
        return all(self.ring(queue) for _ in range(count))

    def _missing_rings(self, queue: str, waiting: int) -> int:
        try:
            return max(0, waiting - self.count_messages(queue))
        except BROKER_AWAY as error:
            # The broker is away: the first sweep after its return rings.
            log.warning("doorbell.count_failed", queue=queue, error=str(error))
            return 0

    def _reap_one(self) -> ReapedJob | None:
        with self._counted() as (session, ended):
            job = reap_expired_lease(session, max_attempts=self.max_attempts)
            if job:
                ended.append(job.job_id)
        return job

    def _tell_reaped(self, job: ReapedJob) -> None:
        log.warning("job.reaped", job_id=str(job.job_id), stage=job.stage, status=job.status.value)
        self.metrics.reaped.labels(job.status).inc()
        if job.status is JobStatus.PENDING:
            self.metrics.requeues.labels("lost").inc()
            self.ring(job.queue)

    @contextmanager
    def _counted(self) -> Iterator[tuple[Session, list[uuid.UUID]]]:
        """Run a transaction, and count those of the jobs put on the list that it finished.

        If the answer to its COMMIT is lost, the rows tell whether it took effect: a job is
        finished once, and no other transaction has the same time.
        """
        jobs: list[uuid.UUID] = []
        endings: list[Ending] = []
        try:
            with self.database.begin() as session:
                yield session, jobs
                endings = _read_endings(session, jobs)
        except Exception as error:
            if is_outage(error) and endings:
                self._count(self._those_that_stand(endings))
            raise
        self._count(endings)

    def _those_that_stand(self, endings: list[Ending]) -> list[Ending]:
        def read() -> list[Ending]:
            with self.database.begin() as session:
                return _read_endings(session, [ending.job_id for ending in endings])

        # Without the database there is nothing to sweep either.
        found = retry_outage(read, may_go_on=lambda: True)
        return [ending for ending in endings if ending in found]

    def _count(self, endings: list[Ending]) -> None:
        for ending in endings:
            self.metrics.job_finished(ending.job)


def _read_endings(session: Session, jobs: list[uuid.UUID]) -> list[Ending]:
    found = (read_ending(session, job_id=job_id) for job_id in jobs)
    return [ending for ending in found if ending is not None]


def _minutes(limit: timedelta) -> str:
    seconds = limit.total_seconds()
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"
