"""Queues: how many jobs wait in each, for how long, and how many live workers serve it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from db.engine import sql
from db.jobs.bindings import NOT_PAUSED
from db.jobs.tags import named_queues
from db.reads.serving import SERVES
from db.schema.enums import ProvisionerType

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.engine import Reader


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """How many jobs wait in a queue, and how many live workers serve it."""

    queue: str
    depth: int
    oldest_s: float  #: age of the oldest waiting job
    workers: int
    slots: int  #: of these workers
    tags: Mapping[str, str] = field(default_factory=dict)  #: of its jobs
    paused_at: datetime | None = None  #: None unless it is paused
    paused_by: str = ""
    pause_reason: str = ""


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
        SELECT queue, depth, oldest_s, tags
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
        CROSS JOIN LATERAL (
            SELECT tags
            FROM provisioner_jobs
            WHERE queue = named.queue
              AND started_at IS NULL AND completed_at IS NULL
            ORDER BY priority, fair_rank, created_at, id
            LIMIT 1
        ) AS first
        WHERE depth > 0
    ), serving AS (
        SELECT queue, count(*) AS workers, sum(live.concurrency) AS slots,
               min(worker.tags::text) AS tags
        FROM live_workers AS live
        JOIN provisioner_daemons AS worker ON worker.id = live.id, unnest(live.queues) AS queue
        WHERE live.takes_jobs
        GROUP BY queue
    ), paused AS (
        SELECT queue, paused_at, paused_by, reason
        FROM queue_pauses
        WHERE resumed_at IS NULL
    )
    SELECT queue,
           coalesce(depth, 0) AS depth,
           coalesce(oldest_s, 0) AS oldest_s,
           coalesce(workers, 0) AS workers,
           coalesce(slots, 0)::int AS slots,
           waiting.tags, serving.tags::jsonb AS worker_tags,
           paused_at, coalesce(paused_by, '') AS paused_by, coalesce(reason, '') AS pause_reason
    FROM waiting
    FULL JOIN serving USING (queue)
    FULL JOIN paused USING (queue)
    ORDER BY queue
""")


def queue_depths(reader: Reader, *, count_to: int | None = None) -> list[QueueDepth]:
    """Return every queue that has waiting jobs or live workers, or is paused, by name.

    Args:
        count_to: the maximum number of jobs to count in each queue, in the order of claims. If
            more jobs wait, depth and age are lower bounds. None counts all jobs.
    """
    rows = reader.execute(QUEUE_DEPTHS, {"count_to": count_to})
    names = _Names({})
    return [_depth(row, names) for row in rows]


class _Names(dict[str, Mapping[str, Mapping[str, str]]]):
    """The queues of a set of tags of a worker, computed once for each."""

    def __missing__(self, tags: str) -> Mapping[str, Mapping[str, str]]:
        self[tags] = named_queues(json.loads(tags))
        return self[tags]


def _depth(row: Row[Any], names: _Names) -> QueueDepth:
    fields = row._asdict()
    worker_tags = fields.pop("worker_tags")
    if fields["tags"] is None:
        # No job waits: of the tags of a worker, the queue has those that make its name.
        known = names[json.dumps(worker_tags)] if worker_tags else {}
        fields["tags"] = known.get(row.queue, {})
    return QueueDepth(**fields)


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
        sql(f"""
            SELECT queue, depth
            FROM unnest(CAST(:queues AS text[])) AS served (queue)
            LEFT JOIN provisioner_daemons AS worker ON worker.id = CAST(:worker_id AS uuid)
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
                          nullif(worker.organizations, '{{}}'), ARRAY[organization_id]
                      ))
                    -- The order of claims; without it the planner may choose a scan.
                    ORDER BY priority, fair_rank, created_at, id
                    LIMIT :count_to
                ) AS next
            ) AS counted
            WHERE depth > 0
              AND worker.drain_requested_at IS NULL
              AND {NOT_PAUSED.format(queue="served.queue")}
        """),  # noqa: S608 - made of constants
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
                          AND worker.drain_requested_at IS NULL
                          AND {NOT_PAUSED.format(queue="job.queue")}
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
              -- Nobody could claim it while its queue was paused.
              AND NOT EXISTS (
                  SELECT 1
                  FROM queue_pauses AS pause
                  WHERE pause.queue = provisioner_jobs.queue
                    AND (resumed_at IS NULL OR resumed_at > now() - :limit)
              )
            ORDER BY created_at
            LIMIT :count
        """),
        {"limit": limit, "count": count},
    )
    return list(rows.scalars())
