"""Repairs the effects of lost messages and lost workers.

Every worker sweeps every few seconds; the sweepers share the work by skipping locked rows. It
does nothing while no message and no worker is lost.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from db.jobs.mover import Mover
from db.jobs.moves import Moved
from db.jobs.reaper import reap_expired_lease
from db.jobs.results import Failure
from db.jobs.transitions import expire_job
from db.reads.queues import claimable_jobs, overdue_jobs
from db.schema.enums import FailureReason, ProvisionerType
from provisioner.host.recovery import Recoverer
from worker.broker.errors import BROKER_AWAY
from worker.broker.ringer import Ring
from worker.maintenance.connectivity import Connectivity
from worker.metrics.series import Metrics

log = structlog.get_logger("worker")

CountMessages = Callable[[str], int]
"""Returns the number of doorbells in the broker for a queue; may raise if it is away."""


@dataclass(frozen=True, kw_only=True)
class Sweeper:
    """Sweeps jobs and queues, one pass at a time.

    Args:
        queues: the queues that this worker serves; it rings only for these.
        provisioners: the engines that this worker offers.
        slots: the number of builds that this worker runs at once.
        worker_id: this worker, whose row may bind it to organizations.
    """

    mover: Mover
    metrics: Metrics
    queues: Sequence[str]
    provisioners: Sequence[ProvisionerType]
    slots: int
    ring: Ring
    count_messages: CountMessages
    recoverer: Recoverer
    max_attempts: int
    pending_limit: timedelta
    worker_id: uuid.UUID | None = None
    connectivity: Connectivity = field(default_factory=lambda: Connectivity(settle=timedelta()))

    def sweep(self) -> None:
        """Take jobs from lost workers, and fail jobs that waited too long.

        Recovering and ringing are separate chores: a full disk or a hung broker must not delay
        the jobs of lost workers.
        """
        with self.connectivity.watch():
            self.expire_pending_jobs()
        if self.connectivity.is_stable():
            self.reap_lost_jobs()

    def recover_builds(self) -> None:
        """Store the states that lost workers left on this host, and close their jobs."""
        self.recoverer.recover()

    def reap_lost_jobs(self) -> list[Moved]:
        """Reap every job whose lease ran out, without a limit that could hide a backlog."""

        def reap(session: Session) -> Moved | None:
            return reap_expired_lease(session, max_attempts=self.max_attempts)

        reaped = []
        while moved := self.mover.run(reap):
            reaped.append(moved)
        return reaped

    def expire_pending_jobs(self) -> list[Moved]:
        """Fail the jobs that nobody claimed within the limit."""
        failure = Failure(
            reason=FailureReason.PENDING_LIMIT,
            message=f"no worker claimed this job within {_minutes(self.pending_limit)};"
            " `provisionerd queue explain JOB` shows which workers could",
        )

        def expire(session: Session) -> list[Moved]:
            overdue = overdue_jobs(session, limit=self.pending_limit)
            expired = (expire_job(session, job_id=job_id, failure=failure) for job_id in overdue)
            return [moved for moved in expired if moved]

        return self.mover.run(expire)

    def ring_forgotten_queues(self) -> int:
        """Ring for pending jobs that have no doorbell; return the number of doorbells rung.

        One doorbell for each slot of this worker is enough: the other workers ring for their own
        slots, and the next sweep rings again. Queues that this worker does not serve are left out.
        """
        with self.mover.database.begin() as session:
            waiting = claimable_jobs(
                session,
                queues=self.queues,
                provisioners=self.provisioners,
                count_to=self.slots,
                worker_id=self.worker_id,
            )
        rung = self._ring_all(self._missing_rings(waiting))
        if rung:
            log.info("doorbell.rerung", count=rung)
            self.metrics.rerung_doorbells.inc(rung)
        return rung

    def _ring_all(self, missing: Sequence[tuple[str, int]]) -> int:
        rung = 0
        for queue, count in missing:
            if not all(self.ring(queue) for _ in range(count)):
                break  # the broker is away; every further ring would wait for its time-out
            rung += count
        return rung

    def _missing_rings(self, waiting: Mapping[str, int]) -> list[tuple[str, int]]:
        try:
            counted = [
                (queue, depth - self.count_messages(queue)) for queue, depth in waiting.items()
            ]
        except BROKER_AWAY:
            return []  # logged by what counts; the first sweep after the outage rings
        return [(queue, missing) for queue, missing in counted if missing > 0]


def _minutes(limit: timedelta) -> str:
    seconds = limit.total_seconds()
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"
