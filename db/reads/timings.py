"""How long a job waited, and how long each Terraform operation took."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.reads.contract import ProvisionerJobTimings, ProvisionerTiming

WAIT = "queue"

# Uses: ix_provisioner_job_timings_job_id.
_TIMINGS = text("""
    SELECT job_id, started_at, ended_at, stage, source, action, resource
    FROM provisioner_job_timings
    WHERE job_id = :job_id
    ORDER BY started_at, id
""")


@dataclass(frozen=True, kw_only=True)
class StageDuration:
    """The time that a job spent in the queue or in one stage."""

    stage: str  #: ``queue``, or a timing stage
    started_at: datetime
    seconds: float


def job_durations(session: Session, job_id: uuid.UUID) -> list[StageDuration]:
    """Return the durations of the wait in the queue and of each stage, in order.

    For a pending job, this is the wait so far. Stages are those of the last attempt, and are known
    after the build has ended.
    """
    rows = session.execute(
        text("""
            SELECT stage, started_at, seconds
            FROM (
                SELECT CAST(:wait AS text) AS stage, created_at AS started_at,
                       extract(epoch FROM
                           coalesce(started_at, completed_at, now()) - created_at
                       )::float AS seconds
                FROM provisioner_jobs
                WHERE id = :job_id
                UNION ALL
                SELECT stage::text, started_at, extract(epoch FROM ended_at - started_at)::float
                FROM provisioner_job_timings
                WHERE job_id = :job_id AND resource = 'coder_stage_' || stage
            ) AS durations
            -- The times of stages come from a worker's clock, the wait from the database's.
            ORDER BY stage <> :wait, started_at
        """),
        {"job_id": job_id, "wait": WAIT},
    )
    return [StageDuration(**row._asdict()) for row in rows]


def get_timings(session: Session, job_id: uuid.UUID) -> ProvisionerJobTimings:
    """Return the timings of a job; none until it has ended."""
    rows = session.execute(_TIMINGS, {"job_id": job_id})
    return ProvisionerJobTimings(
        provisioner_timings=[ProvisionerTiming(**row._asdict()) for row in rows],
        agent_script_timings=(),
        agent_connection_timings=(),
    )
