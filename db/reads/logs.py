"""Reading the log lines of jobs."""

from __future__ import annotations

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.reads.contract import ProvisionerJobLog

LOG_PAGE = 1000

# Uses: ix_provisioner_job_logs_job_id_id.
_LOGS = text("""
    SELECT id, created_at, source AS log_source, level AS log_level, stage, output
    FROM provisioner_job_logs
    WHERE job_id = :job_id AND id > :after
    ORDER BY id
    LIMIT :limit
""")


def get_logs(
    session: Session, job_id: uuid.UUID, *, after: int = 0, limit: int = LOG_PAGE
) -> list[ProvisionerJobLog]:
    """Return log lines of a job in order; none if the job does not exist.

    For the next page, pass the id of the last line as ``after``. Only one writer at a time holds
    the job's lease, so no line with a lower id can appear later.
    """
    rows = session.execute(_LOGS, {"job_id": job_id, "after": after, "limit": limit})
    return [ProvisionerJobLog(**row._asdict()) for row in rows]
