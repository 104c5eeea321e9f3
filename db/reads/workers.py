"""Workers: their status, queues, and number of running builds."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.reads.listings import LIMIT, read_listings
from db.reads.sight import EVERYTHING, Sight


@dataclass(frozen=True, kw_only=True)
class WorkerListing:
    """A worker, its status and its load."""

    id: uuid.UUID
    name: str
    status: str  #: busy, idle, draining, or offline (see the view live_workers)
    is_stale: bool  #: offline without a clean shutdown
    tags: dict[str, str]
    provisioners: Sequence[str]
    queues: Sequence[str]
    organization_ids: Sequence[str]
    organizations: Sequence[str]  #: names of those that it is bound to; none means all
    slots: int
    running_jobs: int
    free_slots: int  #: 0 if it takes no jobs
    last_seen_at: datetime | None
    last_seen_s: float | None  #: seconds since then
    version: str
    hostname: str


def list_workers(
    session: Session, *, sight: Sight = EVERYTHING, limit: int = LIMIT
) -> list[WorkerListing]:
    """Return all workers that were ever registered, the most recently seen first.

    Args:
        sight: leaves out workers that are bound to other organizations only.
    """
    return read_listings(
        session,
        WorkerListing,
        """
        SELECT worker.id, worker.name, worker.tags, worker.provisioners::text[],
               worker.queues, worker.concurrency AS slots,
               worker.organizations::text[] AS organization_ids,
               ARRAY(SELECT name FROM organizations
                     WHERE organizations.id = ANY(worker.organizations)
                     ORDER BY name) AS organizations,
               worker.last_seen_at, worker.version, worker.hostname,
               extract(epoch FROM now() - worker.last_seen_at)::float AS last_seen_s,
               running.jobs AS running_jobs,
               CASE WHEN live.takes_jobs
                   THEN greatest(0, worker.concurrency - running.jobs) ELSE 0
               END AS free_slots,
               worker.stopped_at IS NULL AND live.id IS NULL AS is_stale,
               CASE
                   WHEN live.id IS NULL THEN 'offline'
                   WHEN NOT live.takes_jobs THEN 'draining'
                   WHEN running.jobs > 0 THEN 'busy'
                   ELSE 'idle'
               END AS status
        FROM provisioner_daemons AS worker
        LEFT JOIN live_workers AS live ON live.id = worker.id
        CROSS JOIN LATERAL (
            SELECT count(*) AS jobs FROM leases WHERE leases.worker_id = worker.id
        ) AS running
        WHERE CAST(:seen_organizations AS uuid[]) IS NULL
           OR worker.organizations = '{}'
           OR worker.organizations && CAST(:seen_organizations AS uuid[])
        ORDER BY worker.last_seen_at DESC NULLS LAST, worker.name
        LIMIT :limit
        """,
        limit=limit,
        seen_organizations=sight.values["seen_organizations"],
    )
