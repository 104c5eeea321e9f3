"""Jobs, with their position in the queue and the workers that may claim them.

One pass over the head of a queue returns its size and the positions of all requested jobs. So a
page of pending jobs reads at most ``QUEUE_COUNT_LIMIT`` index entries per queue, even if a million
jobs wait.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, text

from db.errors import ConflictError, InvalidError, NotFoundError
from db.reads.counting import QUEUE_COUNT_LIMIT
from db.reads.serving import SERVES
from db.reads.sight import EVERYTHING, Sight, seen
from db.schema.enums import JobErrorCode, JobStatus, JobType, ProvisionerType, Transition

if TYPE_CHECKING:
    from db.engine import Reader

# One statement, so that status, queue position and names are consistent. The template version of a
# workspace build is on the build; an import or a dry run names it in its input.
# Uses: pk_provisioner_jobs, ix_provisioner_jobs_claimable, uq_workspace_builds_job_id.
_JOBS = text(f"""
    WITH wanted AS MATERIALIZED (
        SELECT *
        FROM provisioner_jobs
        WHERE id = ANY(:job_ids)
    ), queues AS (
        SELECT DISTINCT queue
        FROM wanted
        WHERE job_status = 'pending'
    ), ahead AS (
        SELECT waiting.id,
               row_number() OVER (
                   PARTITION BY queues.queue
                   ORDER BY waiting.priority, waiting.fair_rank, waiting.created_at, waiting.id
               ) AS position,
               count(*) OVER (PARTITION BY queues.queue) AS size
        FROM queues
        CROSS JOIN LATERAL (
            SELECT id, priority, fair_rank, created_at
            FROM provisioner_jobs
            WHERE queue = queues.queue AND started_at IS NULL AND completed_at IS NULL
            ORDER BY priority, fair_rank, created_at, id
            LIMIT :count_limit
        ) AS waiting
    )
    SELECT job.id, job.type, job.job_status AS status, job.provisioner, job.queue, job.tags,
           job.input, job.file_id, job.stage, job.attempt, job.drains, job.error,
           job.error_code, job.failure_reason, job.logs_overflowed, job.organization_id,
           job.created_at, job.started_at, job.canceled_at, job.completed_at,
           job.worker_id, claimer.name AS worker_name,
           job.initiator_id, initiator.username AS initiator_name,
           -- A pending job that the pass did not reach is beyond the limit.
           CASE WHEN job.job_status = 'pending' THEN coalesce(ahead.position, :count_limit) ELSE 0
           END AS queue_position,
           CASE WHEN job.job_status = 'pending' THEN coalesce(ahead.size, :count_limit) ELSE 0
           END AS queue_size,
           EXISTS (
               SELECT 1
               FROM queue_pauses AS pause
               WHERE pause.queue = job.queue AND pause.resumed_at IS NULL
           ) AS is_queue_paused,
           job.job_status = 'pending' AND build.transition = 'start' AND EXISTS (
               SELECT 1
               FROM circuits
               WHERE template_version_id = build.template_version_id AND open_until IS NOT NULL
           ) AS is_version_failing,
           CASE WHEN job.job_status = 'pending' THEN ARRAY(
               SELECT worker.id
               FROM live_workers AS worker
               WHERE worker.takes_jobs AND {SERVES}
               ORDER BY worker.id
           ) ELSE ARRAY[]::uuid[] END AS available_workers,
           coalesce(version.name, '') AS template_version_name,
           template.id AS template_id,
           coalesce(template.name, '') AS template_name,
           coalesce(template.display_name, '') AS template_display_name,
           coalesce(template.icon, '') AS template_icon,
           workspace.id AS workspace_id,
           workspace.name AS workspace_name,
           owner.username AS workspace_owner_name,
           build.id AS workspace_build_id,
           build.build_number,
           build.transition,
           coalesce(build.daily_cost, 0) AS daily_cost,
           build.quota_budget,
           build.quota_credits_consumed
    FROM wanted AS job
    JOIN users AS initiator ON initiator.id = job.initiator_id
    LEFT JOIN ahead ON ahead.id = job.id
    LEFT JOIN provisioner_daemons AS claimer ON claimer.id = job.worker_id
    LEFT JOIN workspace_builds AS build ON build.job_id = job.id
    LEFT JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    LEFT JOIN users AS owner ON owner.id = workspace.owner_id
    LEFT JOIN template_versions AS version ON version.id = coalesce(
        build.template_version_id, CAST(job.input ->> 'template_version_id' AS uuid)
    )
    LEFT JOIN templates AS template ON template.id = version.template_id
""")  # noqa: S608 - made of constants

# A range over the primary key. A comparison as text would read every row.
_STARTING_WITH = text(f"""
    SELECT id
    FROM provisioner_jobs
    WHERE id BETWEEN :first AND :last AND {seen("organization_id", "owner_id")}
    LIMIT 2
""")  # noqa: S608 - made of constants

_ENUMS: Mapping[str, type[StrEnum]] = {
    "type": JobType,
    "status": JobStatus,
    "provisioner": ProvisionerType,
    "error_code": JobErrorCode,
    "transition": Transition,
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job, with the names of what it works on. Fields of a build are None for other jobs."""

    id: uuid.UUID
    type: JobType
    status: JobStatus
    provisioner: ProvisionerType
    queue: str
    tags: dict[str, str]
    input: Mapping[str, Any]
    file_id: uuid.UUID  #: the template's source archive
    stage: str | None
    attempt: int
    drains: int  #: how often a draining worker requeued it; not counted as attempts
    error: str | None
    error_code: JobErrorCode | None
    failure_reason: str | None
    logs_overflowed: bool
    organization_id: uuid.UUID
    created_at: datetime
    started_at: datetime | None
    canceled_at: datetime | None  #: when a cancel was requested
    completed_at: datetime | None
    worker_id: uuid.UUID | None
    worker_name: str | None
    initiator_id: uuid.UUID
    initiator_name: str
    queue_position: int  #: 1 for the next; 0 unless pending; counted to QUEUE_COUNT_LIMIT
    queue_size: int  #: pending jobs in its queue; counted to the same limit
    available_workers: Sequence[uuid.UUID]  #: live workers that may claim it; none unless pending
    template_version_name: str
    template_id: uuid.UUID | None
    template_name: str
    template_display_name: str
    template_icon: str
    workspace_id: uuid.UUID | None
    workspace_name: str | None
    workspace_owner_name: str | None
    workspace_build_id: uuid.UUID | None
    build_number: int | None
    transition: Transition | None
    daily_cost: int
    quota_budget: int | None  #: of the quota decision; None before it
    quota_credits_consumed: int | None
    is_queue_paused: bool = False
    is_version_failing: bool = False  #: it waits to start what keeps failing (``circuits``)


def get_job(reader: Reader, job_id: uuid.UUID) -> Job:
    """Return one job.

    Raises:
        NotFoundError: there is no such job.
    """
    found = get_jobs(reader, [job_id])
    if not found:
        raise NotFoundError(f"there is no job {job_id}")
    return found[0]


def get_jobs(reader: Reader, job_ids: Sequence[uuid.UUID]) -> list[Job]:
    """Return the jobs that exist, in the order of ``job_ids``."""
    rows = reader.execute(_JOBS, {"job_ids": list(job_ids), "count_limit": QUEUE_COUNT_LIMIT})
    jobs = {row.id: _job(row) for row in rows}
    return [jobs[job_id] for job_id in job_ids if job_id in jobs]


def find_job_id(reader: Reader, prefix: str, *, sight: Sight = EVERYTHING) -> uuid.UUID:
    """Return the id that begins with ``prefix``, among the jobs that the reader sees.

    Raises:
        InvalidError: this is not the beginning of an id.
        NotFoundError: no id begins with it.
        ConflictError: several ids begin with it.
    """
    values = {**id_bounds(prefix), **sight.values}
    found = reader.execute(_STARTING_WITH, values).scalars().all()
    if not found:
        raise NotFoundError(f"there is no job {prefix}; `provisionerd jobs list` shows them")
    if len(found) > 1:
        raise ConflictError(f"several jobs begin with {prefix}; give more of the ID")
    return uuid.UUID(str(found[0]))


def id_bounds(prefix: str) -> dict[str, uuid.UUID]:
    """Return the ``first`` and the ``last`` id that begin with ``prefix``.

    Raises:
        InvalidError: this is not the beginning of an id.
    """
    digits = prefix.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]{1,32}", digits):
        raise InvalidError(f"{prefix!r} is not a job ID; give a full ID or a prefix")
    return {"first": uuid.UUID(digits.ljust(32, "0")), "last": uuid.UUID(digits.ljust(32, "f"))}


def _job(row: Row[Any]) -> Job:
    fields: dict[str, Any] = row._asdict()
    members = {name: kind(fields[name]) for name, kind in _ENUMS.items() if fields[name]}
    return Job(**{**fields, **members})
