"""What a job tells while it runs and afterwards: its log and its timings."""

from __future__ import annotations

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.reads.contract import ProvisionerJobLog, ProvisionerJobTimings, ProvisionerTiming

# Uses: ix_provisioner_job_logs_job_id_id.
_LOGS = text("""
    SELECT id, created_at, source AS log_source, level AS log_level, stage, output
    FROM provisioner_job_logs
    WHERE job_id = :job_id AND id > :after
    ORDER BY id
    LIMIT :limit
""")

# Uses: ix_provisioner_job_timings_job_id.
_TIMINGS = text("""
    SELECT job_id, started_at, ended_at, stage, source, action, resource
    FROM provisioner_job_timings
    WHERE job_id = :job_id
    ORDER BY started_at, id
""")


def get_logs(
    session: Session, job_id: uuid.UUID, *, after: int = 0, limit: int = 1000
) -> list[ProvisionerJobLog]:
    """Return log lines of a job in their order; none for a job that does not exist.

    To follow a job, give the id of the last line seen as ``after``. One writer at a time holds
    the job's lease, so no line with a lower id turns up later.
    """
    rows = session.execute(_LOGS, {"job_id": job_id, "after": after, "limit": limit})
    return [ProvisionerJobLog(**row._asdict()) for row in rows]


def get_timings(session: Session, job_id: uuid.UUID) -> ProvisionerJobTimings:
    """Return where the time of a job went; nothing until it has ended."""
    rows = session.execute(_TIMINGS, {"job_id": job_id})
    return ProvisionerJobTimings(
        provisioner_timings=[ProvisionerTiming(**row._asdict()) for row in rows],
        agent_script_timings=(),
        agent_connection_timings=(),
    )
