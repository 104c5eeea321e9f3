"""The log of a job and whether the job has ended, in one statement."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.contract import ProvisionerJobLog
from db.reads.logs import LOG_PAGE

# Uses: pk_provisioner_jobs, ix_provisioner_job_logs_job_id_id.
_READ = sql("""
    SELECT job.completed_at IS NOT NULL AS is_ended,
           line.id, line.created_at, line.source AS log_source, line.level AS log_level,
           line.stage, line.output
    FROM provisioner_jobs AS job
    LEFT JOIN LATERAL (
        SELECT *
        FROM provisioner_job_logs
        WHERE job_id = job.id AND id > :after
        ORDER BY id
        LIMIT :limit
    ) AS line ON true
    WHERE job.id = :job_id
    ORDER BY line.id
""")


@dataclass(frozen=True, kw_only=True)
class LogReading:
    """The next lines of a job's log."""

    lines: Sequence[ProvisionerJobLog]
    is_complete: bool  #: the job has ended, and there are no more lines


def read_log(
    session: Session, job_id: uuid.UUID, *, after: int, limit: int = LOG_PAGE
) -> LogReading:
    """Return the lines with a higher id than ``after``, in order.

    Lines are stored before their job ends, and one statement sees both, so no line is missed. A
    job that is not found counts as ended: it was pruned.
    """
    rows = session.execute(_READ, {"job_id": job_id, "after": after, "limit": limit}).all()
    lines = [
        ProvisionerJobLog(
            id=row.id,
            created_at=row.created_at,
            log_source=row.log_source,
            log_level=row.log_level,
            stage=row.stage,
            output=row.output,
        )
        for row in rows
        if row.id is not None
    ]
    is_ended = not rows or rows[0].is_ended
    return LogReading(lines=lines, is_complete=is_ended and len(lines) < limit)
