"""Workers as the HTTP API shows them: Coder calls them provisioner daemons."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.contract import MatchedProvisioners
from db.reads.serving import SERVES
from db.reads.shapes import DaemonJob, ProvisionerDaemon

# Uses: pk_provisioner_daemons. There are few workers, and one job is read for each lease.
_DAEMONS = sql("""
    SELECT worker.id, worker.created_at, worker.last_seen_at, worker.name, worker.version,
           worker.api_version, worker.provisioners::text[], worker.tags,
           CASE WHEN live.id IS NULL THEN 'offline'
                WHEN running.id IS NOT NULL THEN 'busy'
                ELSE 'idle' END AS status,
           running.id AS job_id, running.job_status::text AS job_status,
           template.name AS template_name, template.icon AS template_icon,
           template.display_name AS template_display_name
    FROM provisioner_daemons AS worker
    LEFT JOIN live_workers AS live ON live.id = worker.id
    LEFT JOIN LATERAL (
        SELECT job.id, job.job_status,
               coalesce(build.template_version_id,
                        CAST(job.input ->> 'template_version_id' AS uuid)) AS version_id
        FROM leases
        JOIN provisioner_jobs AS job ON job.id = leases.job_id
        LEFT JOIN workspace_builds AS build ON build.job_id = job.id
        WHERE leases.worker_id = worker.id
        ORDER BY job.started_at
        LIMIT 1
    ) AS running ON true
    LEFT JOIN template_versions AS version ON version.id = running.version_id
    LEFT JOIN templates AS template ON template.id = version.template_id
    WHERE (live.id IS NOT NULL OR :with_offline)
      AND (CAST(:max_age AS interval) IS NULL OR worker.last_seen_at > now() - :max_age)
      AND (cardinality(CAST(:ids AS uuid[])) = 0 OR worker.id = ANY(:ids))
      AND worker.tags @> CAST(:tags AS jsonb)
    ORDER BY worker.created_at DESC, worker.id
""")
# Uses: pk_provisioner_jobs.
_MATCHED = sql(f"""
    SELECT count(*) AS count,
           count(*) FILTER (WHERE live.takes_jobs) AS available,
           max(worker.last_seen_at) AS most_recently_seen
    FROM provisioner_jobs AS job
    JOIN provisioner_daemons AS worker ON {SERVES}
    LEFT JOIN live_workers AS live ON live.id = worker.id
    WHERE job.id = :job_id AND (live.id IS NOT NULL OR worker.stopped_at IS NULL)
""")  # noqa: S608 - made of constants


@dataclass(frozen=True, kw_only=True)
class DaemonFilter:
    """Which workers to list."""

    with_offline: bool = False
    statuses: Collection[str] = ()
    max_age: timedelta | None = None
    ids: Collection[uuid.UUID] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def find_daemons(
    session: Session, wanted: DaemonFilter, *, organization_id: uuid.UUID, limit: int
) -> list[ProvisionerDaemon]:
    """Return workers, the newest first. Workers serve all organizations."""
    rows = session.execute(
        _DAEMONS,
        {
            "with_offline": wanted.with_offline or "offline" in wanted.statuses,
            "max_age": wanted.max_age,
            "ids": list(wanted.ids),
            "tags": json.dumps(dict(wanted.tags)),
        },
    )
    found = [_daemon(row, organization_id) for row in rows]
    chosen = [daemon for daemon in found if not wanted.statuses or daemon.status in wanted.statuses]
    return chosen[:limit]


def find_matched(session: Session, job_id: uuid.UUID) -> MatchedProvisioners:
    """Return how many workers may claim a job."""
    row = session.execute(_MATCHED, {"job_id": job_id}).one()
    return MatchedProvisioners(**row._asdict())


def _daemon(row: Row[Any], organization_id: uuid.UUID) -> ProvisionerDaemon:
    current = None
    if row.job_id is not None:
        current = DaemonJob(
            id=row.job_id,
            status=row.job_status,
            template_name=row.template_name or "",
            template_icon=row.template_icon or "",
            template_display_name=row.template_display_name or "",
        )
    return ProvisionerDaemon(
        id=row.id,
        organization_id=organization_id,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        name=row.name,
        version=row.version,
        api_version=row.api_version,
        provisioners=row.provisioners,
        tags=row.tags,
        status=row.status,
        current_job=current,
    )
