"""Workers: who is alive, for which queues, and what each of them runs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.jobs.workers import STALE_AFTER

LIMIT = 200


@dataclass(frozen=True, kw_only=True)
class WorkerListing:
    """A worker, and whether it can be counted on."""

    id: uuid.UUID
    name: str
    status: str  #: busy, idle, draining, or offline: signed off, or not seen for STALE_AFTER
    is_stale: bool  #: vanished without signing off
    tags: dict[str, str]
    provisioners: Sequence[str]
    queues: Sequence[str]
    slots: int
    running_jobs: int
    free_slots: int  #: 0 of a worker that takes nothing
    last_seen_at: datetime | None
    last_seen_s: float | None  #: how long ago
    version: str
    hostname: str


def list_workers(session: Session, *, limit: int = LIMIT) -> list[WorkerListing]:
    """Return the workers that have ever signed on, those seen last first."""
    rows = session.execute(
        text("""
            SELECT id, name, tags, provisioners::text[], queues, concurrency AS slots,
                   last_seen_at, version, hostname,
                   extract(epoch FROM now() - last_seen_at)::float AS last_seen_s,
                   running.jobs AS running_jobs,
                   CASE WHEN stopped_at IS NULL AND NOT is_stale AND NOT draining
                       THEN greatest(0, concurrency - running.jobs) ELSE 0
                   END AS free_slots,
                   is_stale,
                   CASE
                       WHEN stopped_at IS NOT NULL OR is_stale THEN 'offline'
                       WHEN draining THEN 'draining'
                       WHEN running.jobs > 0 THEN 'busy'
                       ELSE 'idle'
                   END AS status
            FROM provisioner_daemons AS worker
            CROSS JOIN LATERAL (
                SELECT stopped_at IS NULL
                       AND coalesce(last_seen_at <= now() - :stale, true) AS is_stale
            ) AS sight
            CROSS JOIN LATERAL (
                SELECT count(*) AS jobs FROM leases WHERE leases.worker_id = worker.id
            ) AS running
            ORDER BY last_seen_at DESC NULLS LAST, name
            LIMIT :limit
        """),
        {"stale": STALE_AFTER, "limit": limit},
    )
    return [WorkerListing(**row._asdict()) for row in rows]
