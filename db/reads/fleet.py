"""The deployment as a whole in a few numbers: workers, slots, leases and unfinished jobs.

Every number comes from rows of what is unfinished or alive, so that the cost does not grow with
the jobs that were ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from db.engine import sql

FORGOTTEN_AFTER = timedelta(days=7)
"""A worker that was not seen for so long no longer counts as offline: it is gone."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What the deployment has and does at one moment."""

    workers: Mapping[str, int]  #: by status: busy, idle, draining, offline
    jobs: Mapping[str, int]  #: unfinished ones by status: pending, running, canceling
    slots: int  #: builds that all live workers can run at once
    slots_used: int
    slots_free: int  #: of live workers that take builds
    least_lease_s: float | None  #: time left on the lease that runs out first; None without any


def read_fleet(session: Session) -> Fleet:
    """Read the numbers, with one statement each for workers, waiting jobs and leases."""
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
                WHERE stopped_at IS NULL AND last_seen_at > now() - :forgotten
            ) AS daemons
            GROUP BY status
        """),
        {"forgotten": FORGOTTEN_AFTER},
    ).all()
    counts = dict.fromkeys(("busy", "idle", "draining", "offline"), 0)
    counts |= {row.status: row.workers for row in rows}
    taking = [row for row in rows if row.status in {"busy", "idle"}]
    return counts, sum(row.slots for row in taking), sum(row.free for row in taking)
