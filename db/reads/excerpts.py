"""Parts of a long log: its beginning, its end, and the lines around its first error."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.contract import ProvisionerJobLog


class LogPart(StrEnum):
    """Which part of a log to read."""

    HEAD = "head"
    TAIL = "tail"
    ERROR = "error"  #: around the first error; the end if there is none


# Uses: ix_provisioner_job_logs_job_id_id.
_LINES = """
    (SELECT id, created_at, source AS log_source, level AS log_level, stage, output
     FROM provisioner_job_logs
     WHERE job_id = :job_id AND id {which}
     LIMIT {limit})
"""
_HEAD = sql(_LINES.format(which="> 0 ORDER BY id", limit=":limit"))
_TAIL = sql(
    f"SELECT * FROM {_LINES.format(which='> 0 ORDER BY id DESC', limit=':limit')} AS last"  # noqa: S608 - made of constants
    " ORDER BY id"
)
_BEFORE = _LINES.format(which="< (SELECT id FROM first) ORDER BY id DESC", limit=":limit / 2")
_SINCE = _LINES.format(which=">= (SELECT id FROM first) ORDER BY id", limit=":limit - :limit / 2")
_ERROR = sql(f"""
    WITH first AS (
        SELECT id
        FROM provisioner_job_logs
        WHERE job_id = :job_id AND level = 'error'
        ORDER BY id
        LIMIT 1
    )
    {_BEFORE} UNION ALL {_SINCE} ORDER BY id
""")  # noqa: S608 - made of constants
_STATEMENTS = {LogPart.HEAD: _HEAD, LogPart.TAIL: _TAIL, LogPart.ERROR: _ERROR}


def read_excerpt(
    session: Session, job_id: uuid.UUID, part: LogPart, *, limit: int
) -> list[ProvisionerJobLog]:
    """Return at most ``limit`` lines of a part of a job's log, in order."""
    rows = session.execute(_STATEMENTS[part], {"job_id": job_id, "limit": limit}).all()
    if not rows and part is LogPart.ERROR:
        return read_excerpt(session, job_id, LogPart.TAIL, limit=limit)
    return [ProvisionerJobLog(**row._asdict()) for row in rows]
