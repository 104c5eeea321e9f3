"""Jobs as readers see them, with their place in the queue and the workers that may take them.

One pass over the head of a queue gives its size and the position of every job asked for, so a
page of pending jobs costs at most ``QUEUE_COUNT_LIMIT`` index entries per queue, though a million
wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.errors import NotFoundError
from db.reads.contract import (
    QUEUE_COUNT_LIMIT,
    ProvisionerJob,
    ProvisionerJobInput,
    ProvisionerJobMetadata,
)

_NO_TEMPLATE = uuid.UUID(int=0)

# One statement, so that status, queue position and names are of one moment. A job's version is
# its build's; an import or a dry run names it in its input.
# Uses: pk_provisioner_jobs, ix_provisioner_jobs_claimable, uq_workspace_builds_job_id.
_JOBS = text("""
    WITH wanted AS MATERIALIZED (
        SELECT *
        FROM provisioner_jobs
        WHERE id = ANY(:job_ids)
    ), queues AS (
        SELECT DISTINCT queue
        FROM wanted
        WHERE job_status = 'pending'
    ), line AS (
        SELECT place.id,
               row_number() OVER (
                   PARTITION BY queues.queue
                   ORDER BY place.priority, place.fair_rank, place.created_at, place.id
               ) AS position,
               count(*) OVER (PARTITION BY queues.queue) AS size
        FROM queues
        CROSS JOIN LATERAL (
            SELECT id, priority, fair_rank, created_at
            FROM provisioner_jobs
            WHERE queue = queues.queue AND started_at IS NULL AND completed_at IS NULL
            ORDER BY priority, fair_rank, created_at, id
            LIMIT :count_limit
        ) AS place
    )
    SELECT job.id, job.created_at, job.started_at, job.completed_at, job.canceled_at, job.error,
           job.error_code, job.job_status, job.worker_id, job.file_id, job.tags, job.type,
           job.input, job.organization_id, job.initiator_id, job.logs_overflowed,
           claimer.name AS worker_name,
           -- A pending job that the pass did not reach stands behind the limit.
           CASE WHEN job.job_status = 'pending' THEN coalesce(line.position, :count_limit) ELSE 0
           END AS queue_position,
           CASE WHEN job.job_status = 'pending' THEN coalesce(line.size, :count_limit) ELSE 0
           END AS queue_size,
           CASE WHEN job.job_status = 'pending' THEN ARRAY(
               SELECT worker.id
               FROM live_workers AS worker
               WHERE worker.takes_jobs
                 AND job.queue = ANY(worker.queues)
                 AND job.provisioner = ANY(worker.provisioners)
               ORDER BY worker.id
           ) END AS available_workers,
           version.name AS template_version_name,
           template.id AS template_id,
           template.name AS template_name,
           template.display_name AS template_display_name,
           template.icon AS template_icon,
           workspace.id AS workspace_id,
           workspace.name AS workspace_name
    FROM wanted AS job
    LEFT JOIN line ON line.id = job.id
    LEFT JOIN provisioner_daemons AS claimer ON claimer.id = job.worker_id
    LEFT JOIN workspace_builds AS build ON build.job_id = job.id
    LEFT JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    LEFT JOIN template_versions AS version ON version.id = coalesce(
        build.template_version_id, CAST(job.input ->> 'template_version_id' AS uuid)
    )
    LEFT JOIN templates AS template ON template.id = version.template_id
""")


def get_job(session: Session, job_id: uuid.UUID) -> ProvisionerJob:
    """Return one job.

    Raises:
        NotFoundError: there is no such job.
    """
    found = get_jobs(session, [job_id])
    if not found:
        raise NotFoundError(f"there is no job {job_id}")
    return found[0]


def get_jobs(session: Session, job_ids: Sequence[uuid.UUID]) -> list[ProvisionerJob]:
    """Return those of the jobs that exist, in the order of ``job_ids``."""
    rows = session.execute(
        _JOBS,
        {
            "job_ids": list(job_ids),
            "count_limit": QUEUE_COUNT_LIMIT,
        },
    )
    jobs = {row.id: _job(row) for row in rows}
    return [jobs[job_id] for job_id in job_ids if job_id in jobs]


def _job(row: Row[Any]) -> ProvisionerJob:
    return ProvisionerJob(
        id=row.id,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        canceled_at=row.canceled_at,
        error=row.error,
        error_code=row.error_code,
        status=row.job_status,
        worker_id=row.worker_id,
        worker_name=row.worker_name,
        file_id=row.file_id,
        tags=row.tags,
        queue_position=row.queue_position,
        queue_size=row.queue_size,
        organization_id=row.organization_id,
        initiator_id=row.initiator_id,
        input=ProvisionerJobInput.model_validate(row.input),
        type=row.type,
        available_workers=row.available_workers or None,
        metadata=_metadata(row),
        logs_overflowed=row.logs_overflowed,
    )


def _metadata(row: Row[Any]) -> ProvisionerJobMetadata:
    return ProvisionerJobMetadata(
        template_version_name=row.template_version_name or "",
        template_id=row.template_id or _NO_TEMPLATE,
        template_name=row.template_name or "",
        template_display_name=row.template_display_name or "",
        template_icon=row.template_icon or "",
        workspace_id=row.workspace_id,
        workspace_name=row.workspace_name,
    )
