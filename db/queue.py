"""The queues as SQL sees them: what waits, for how long, for whom."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from db.engine import sql
from db.workers import STALE_AFTER


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """How many jobs wait in a queue, and how many live workers serve it."""

    queue: str
    depth: int
    oldest_s: float  #: age of the oldest waiting job
    workers: int
    slots: int  #: how many builds these workers run at once


def queue_depths(session: Session) -> list[QueueDepth]:
    """Return every queue that has waiting jobs or live workers, by name."""
    rows = session.execute(
        sql("""
            WITH waiting AS (
                SELECT queue, count(*) AS depth,
                       extract(epoch FROM now() - min(created_at))::float AS oldest_s
                FROM provisioner_jobs
                WHERE started_at IS NULL AND completed_at IS NULL
                GROUP BY queue
            ), serving AS (
                SELECT queue, count(*) AS workers, sum(concurrency) AS slots
                FROM provisioner_daemons, unnest(queues) AS queue
                WHERE last_seen_at > now() - :stale AND stopped_at IS NULL AND NOT draining
                GROUP BY queue
            )
            SELECT queue,
                   coalesce(depth, 0) AS depth,
                   coalesce(oldest_s, 0) AS oldest_s,
                   coalesce(workers, 0) AS workers,
                   coalesce(slots, 0)::int AS slots
            FROM waiting
            FULL JOIN serving USING (queue)
            ORDER BY queue
        """),
        {"stale": STALE_AFTER},
    )
    return [QueueDepth(**row._asdict()) for row in rows]


@dataclass(frozen=True, kw_only=True)
class WaitingWork:
    """What one worker could claim, and how much it has claimed."""

    waiting: int  #: jobs in its queues, at most 1: nobody needs the rest
    held: int  #: leases that it holds


def waiting_work(session: Session, *, worker_id: uuid.UUID) -> WaitingWork:
    """Return what waits for the worker and how many builds it runs."""
    row = session.execute(
        sql("""
            SELECT
                (
                    SELECT count(*)
                    FROM (
                        SELECT 1
                        FROM provisioner_daemons AS worker
                        JOIN provisioner_jobs AS job
                          ON job.queue = ANY(worker.queues)
                         AND job.provisioner = ANY(worker.provisioners)
                        WHERE worker.id = :worker_id
                          AND job.started_at IS NULL
                          AND job.completed_at IS NULL
                        LIMIT 1
                    ) AS claimable
                ) AS waiting,
                (SELECT count(*) FROM leases WHERE worker_id = :worker_id) AS held
        """),
        {"worker_id": worker_id},
    ).one()
    return WaitingWork(**row._asdict())


@dataclass(frozen=True, kw_only=True)
class OverdueJob:
    """A job that waits for longer than it may."""

    job_id: uuid.UUID
    transition: str


def overdue_jobs(session: Session, *, limit: timedelta, count: int = 100) -> list[OverdueJob]:
    """Return jobs that have waited in their queue for longer than ``limit``, oldest first."""
    rows = session.execute(
        sql("""
            SELECT job.id AS job_id, coalesce(build.transition::text, '') AS transition
            FROM provisioner_jobs AS job
            LEFT JOIN workspace_builds AS build ON build.job_id = job.id
            WHERE job.started_at IS NULL AND job.completed_at IS NULL
              -- A job that was put back waits anew.
              AND job.created_at < now() - :limit AND job.updated_at < now() - :limit
            ORDER BY job.created_at
            LIMIT :count
        """),
        {"limit": limit, "count": count},
    )
    return [OverdueJob(**row._asdict()) for row in rows]
