"""The deployment in a few numbers: workers, slots, leases and unfinished jobs.

Only rows of unfinished jobs and recent workers are read, so the cost does not grow with the number
of finished jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from db.engine import sql

GONE_AFTER = timedelta(days=7)
"""A worker that was not seen for this time is gone and no longer counts as offline."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The workers, slots and unfinished jobs of the deployment at one point in time."""

    workers: Mapping[str, int]  #: by status: busy, idle, draining, offline
    jobs: Mapping[str, int]  #: unfinished jobs by status: pending, running, canceling
    slots: int  #: of all live workers
    slots_used: int
    slots_free: int  #: of live workers that take jobs
    least_lease_s: float | None  #: time left on the lease that expires first; None if there is none


def read_fleet(session: Session) -> Fleet:
    """Read the numbers, by one statement each for leases, pending jobs and workers."""
    leases = session.execute(
        sql("""
            SELECT count(*) FILTER (WHERE job.canceled_at IS NULL) AS running,
                   count(*) FILTER (WHERE job.canceled_at IS NOT NULL) AS canceling,
                   extract(epoch FROM min(leases.expires_at) - now())::float AS least_s
            FROM leases
            JOIN provisioner_jobs AS job ON job.id = leases.job_id
        """)
    ).one()
    pending = session.execute(
        sql("""
            SELECT count(*)
            FROM provisioner_jobs
            WHERE started_at IS NULL AND completed_at IS NULL
        """)
    ).scalar_one()
    workers, slots, free = _workers(session)
    return Fleet(
        workers=workers,
        jobs={"pending": pending, "running": leases.running, "canceling": leases.canceling},
        slots=slots,
        slots_used=leases.running + leases.canceling,
        slots_free=free,
        least_lease_s=leases.least_s,
    )


def _workers(session: Session) -> tuple[dict[str, int], int, int]:
    rows = session.execute(
        sql("""
            SELECT status, count(*) AS workers, sum(concurrency)::int AS slots,
                   sum(greatest(concurrency - held, 0))::int AS free
            FROM (
                SELECT daemon.concurrency, held,
                       CASE
                           WHEN live.id IS NULL THEN 'offline'
                           WHEN NOT live.takes_jobs THEN 'draining'
                           WHEN held > 0 THEN 'busy'
                           ELSE 'idle'
                       END AS status
                FROM provisioner_daemons AS daemon
                LEFT JOIN live_workers AS live ON live.id = daemon.id
                LEFT JOIN (
                    SELECT worker_id, count(*) AS leased FROM leases GROUP BY worker_id
                ) AS running ON running.worker_id = daemon.id
                CROSS JOIN LATERAL coalesce(leased, 0) AS held
                WHERE stopped_at IS NULL AND last_seen_at > now() - :gone_after
            ) AS daemons
            GROUP BY status
        """),
        {"gone_after": GONE_AFTER},
    ).all()
    counts = dict.fromkeys(("busy", "idle", "draining", "offline"), 0)
    counts |= {row.status: row.workers for row in rows}
    takers = [row for row in rows if row.status in {"busy", "idle"}]
    return counts, sum(row.slots for row in takers), sum(row.free for row in takers)
