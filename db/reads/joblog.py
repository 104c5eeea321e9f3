"""The log of a job as the HTTP API sends it, and whether the job has ended, in one statement.

Coder's command line shows the first line of a stage as its heading and throws its text away, since
Coder's daemon begins each stage with an empty line. So does this: the heading of line ``n`` has the
id ``2n - 1`` and the line itself ``2n``. Ids stay unique and rising, and a reader can resume
after any of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.contract import ProvisionerJobLog
from db.reads.logs import LOG_PAGE

MAX_ID = 2**63 - 1

# Uses: pk_provisioner_jobs, ix_provisioner_job_logs_job_id_id.
_READ = sql("""
    SELECT job.completed_at IS NOT NULL AS is_ended,
           line.id, line.created_at, line.source AS log_source, line.level AS log_level,
           line.stage, line.output,
           line.stage IS DISTINCT FROM lag(line.stage, 1, earlier.stage) OVER (ORDER BY line.id)
               AS begins_stage
    FROM provisioner_jobs AS job
    LEFT JOIN LATERAL (
        SELECT stage
        FROM provisioner_job_logs
        WHERE job_id = job.id AND id <= :after
        ORDER BY id DESC
        LIMIT 1
    ) AS earlier ON true
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
    has_more: bool  #: there are stored lines after these
    is_complete: bool  #: the job has ended, and there are no more lines


def read_log(
    session: Session, job_id: uuid.UUID, *, after: int, limit: int = LOG_PAGE
) -> LogReading:
    """Return the lines with a higher id than ``after``, in order, with the headings of stages.

    Lines are stored before their job ends, and one statement sees both, so no line is missed. A
    job that is not found counts as ended: it was pruned.
    """
    rows = session.execute(_READ, {"job_id": job_id, "after": after // 2, "limit": limit}).all()
    stored = [row for row in rows if row.id is not None]
    has_more = len(stored) == limit
    return LogReading(
        lines=[line for row in stored for line in _lines(row) if line.id > after],
        has_more=has_more,
        is_complete=(not rows or rows[0].is_ended) and not has_more,
    )


def read_whole_log(
    session: Session, job_id: uuid.UUID, *, after: int = 0
) -> Iterator[ProvisionerJobLog]:
    """Yield all stored lines with a higher id than ``after``, with the headings of stages."""
    has_more = True
    while has_more:
        reading = read_log(session, job_id, after=after)
        yield from reading.lines
        has_more = reading.has_more
        after = reading.lines[-1].id if reading.lines else after


def _lines(row: Row[Any]) -> Iterator[ProvisionerJobLog]:
    line = ProvisionerJobLog(
        id=2 * row.id,
        created_at=row.created_at,
        log_source=row.log_source,
        log_level=row.log_level,
        stage=row.stage,
        output=row.output,
    )
    if row.begins_stage and row.output:
        yield line.model_copy(update={"id": line.id - 1, "output": ""})
    yield line
