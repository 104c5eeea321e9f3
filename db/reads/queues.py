"""Queues: how many jobs wait in each, for how long, and how many live workers serve it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.serving import SERVES
from db.schema.enums import ProvisionerType


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """How many jobs wait in a queue, and how many live workers serve it."""

    queue: str
    depth: int
    oldest_s: float  #: age of the oldest waiting job
    workers: int
    slots: int  #: of these workers


QUEUE_DEPTHS = sql("""
    -- Steps from queue to queue along the index of claims. A GROUP BY would read all jobs.
    WITH RECURSIVE named AS (
        SELECT min(queue) AS queue
        FROM provisioner_jobs
        WHERE started_at IS NULL AND completed_at IS NULL
        UNION ALL
        SELECT (
            SELECT min(queue)
            FROM provisioner_jobs
            WHERE started_at IS NULL AND completed_at IS NULL
              AND queue > named.queue
        )
        FROM named
        WHERE named.queue IS NOT NULL
    ), waiting AS (
        SELECT queue, depth, oldest_s
        FROM named
        CROSS JOIN LATERAL (
            SELECT count(*) AS depth,
                   extract(epoch FROM now() - min(created_at))::float AS oldest_s
            FROM (
                SELECT created_at
                FROM provisioner_jobs
                WHERE queue = named.queue
                  AND started_at IS NULL AND completed_at IS NULL
                ORDER BY priority, fair_rank, created_at, id
                LIMIT CAST(:count_to AS bigint)
            ) AS next
        ) AS counted
        WHERE depth > 0
    ), serving AS (
        SELECT queue, count(*) AS workers, sum(concurrency) AS slots
        FROM live_workers, unnest(queues) AS queue
        WHERE takes_jobs
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
""")


def queue_depths(session: Session, *, count_to: int | None = None) -> list[QueueDepth]:
    """Return every queue that has waiting jobs or live workers, by name.

    Args:
        count_to: the maximum number of jobs to count in each queue, in the order of claims. If
            more jobs wait, depth and age are lower bounds. None counts all jobs.
    """
    rows = session.execute(QUEUE_DEPTHS, {"count_to": count_to})
    return [QueueDepth(**row._asdict()) for row in rows]


def claimable_jobs(
    session: Session,
    *,
    queues: Sequence[str],
    provisioners: Sequence[ProvisionerType],
    count_to: int,
    worker_id: uuid.UUID | None = None,
) -> dict[str, int]:
    """Return how many jobs a worker of these queues and engines could claim, by queue.

    At most ``count_to`` jobs of each queue are counted and read, so the cost does not grow with the
    number of waiting jobs. Queues without any are left out.

    Args:
        worker_id: the worker, if it may be bound to organizations. Jobs of others are read, too.
    """
    rows = session.execute(
        sql("""
            SELECT queue, depth
            FROM unnest(CAST(:queues AS text[])) AS served (queue)
            CROSS JOIN LATERAL (
                SELECT count(*) AS depth
                FROM (
                    SELECT 1
                    FROM provisioner_jobs
                    WHERE queue = served.queue
                      AND started_at IS NULL
                      AND completed_at IS NULL
                      AND provisioner = ANY(CAST(:provisioners AS provisioner_type[]))
                      AND organization_id = ANY(coalesce(
                          (SELECT nullif(organizations, '{}')
                           FROM provisioner_daemons
                           WHERE id = CAST(:worker_id AS uuid)),
                          ARRAY[organization_id]
                      ))
                    -- The order of claims; without it the planner may choose a scan.
                    ORDER BY priority, fair_rank, created_at, id
                    LIMIT :count_to
                ) AS next
            ) AS counted
            WHERE depth > 0
        """),
        {
            "queues": list(queues),
            "provisioners": [provisioner.value for provisioner in provisioners],
            "count_to": count_to,
            "worker_id": worker_id,
        },
    )
    return {row.queue: row.depth for row in rows.all()}


@dataclass(frozen=True, kw_only=True)
class WaitingWork:
    """Whether jobs wait for a worker, and how many it runs."""

    waiting: int  #: pending jobs that it could claim, counted up to 1
    held: int  #: leases that it holds


def waiting_work(session: Session, *, worker_id: uuid.UUID) -> WaitingWork:
    """Return whether jobs wait for the worker, and how many it runs."""
    row = session.execute(
        sql(f"""
            SELECT
                (
                    SELECT count(*)
                    FROM (
                        SELECT 1
                        FROM provisioner_daemons AS worker
                        JOIN provisioner_jobs AS job ON {SERVES}
                        WHERE worker.id = :worker_id
                          AND job.started_at IS NULL
                          AND job.completed_at IS NULL
                        LIMIT 1
                    ) AS claimable
                ) AS waiting,
                (SELECT count(*) FROM leases WHERE worker_id = :worker_id) AS held
        """),  # noqa: S608 - made of constants
        {"worker_id": worker_id},
    ).one()
    return WaitingWork(**row._asdict())


def overdue_jobs(session: Session, *, limit: timedelta, count: int = 100) -> list[uuid.UUID]:
    """Return jobs that have waited in their queue for longer than ``limit``, oldest first."""
    rows = session.execute(
        sql("""
            SELECT id
            FROM provisioner_jobs
            WHERE started_at IS NULL AND completed_at IS NULL
              -- The wait of a requeued job starts again.
              AND created_at < now() - :limit AND updated_at < now() - :limit
            ORDER BY created_at
            LIMIT :count
        """),
        {"limit": limit, "count": count},
    )
    return list(rows.scalars())
