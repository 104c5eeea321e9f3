"""Storing the log lines of jobs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.leases import Lease, held_row
from db.jobs.notices import NOTIFY
from db.schema.enums import LogLevel, LogSource, Stage
from db.schema.tables import LOG_LIMIT_BYTES
from db.texts import storable

RECOVERY_HEADING = "Recovering"
"""The log stage of lines about a job whose worker was lost."""

WAITING_HEADING = "Waiting for a worker"
"""The log stage of lines about a job that nobody has claimed."""

LINE_LIMIT = 1024
"""Maximum characters of a stored line: the width of the column."""


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """A log line: no line end, no NUL, at most ``LINE_LIMIT`` characters."""

    created_at: datetime
    source: LogSource
    level: LogLevel
    stage: str
    output: str


def daemon_line(level: LogLevel, output: str, *, stage: str) -> LogRow:
    """Return a log line that the daemon writes itself, with the current time.

    Args:
        stage: the log stage, a heading for people.
    """
    return LogRow(
        created_at=datetime.now(UTC),
        source=LogSource.PROVISIONER_DAEMON,
        level=level,
        stage=stage,
        output=storable(output)[:LINE_LIMIT],
    )


LOG_SIZE = """
    logs_length = least(logs_length + :length, :limit),
    logs_overflowed = logs_overflowed OR :overflowed
"""


def append_logs(
    session: Session,
    lease: Lease,
    *,
    rows: Sequence[LogRow],
    overflowed: bool = False,
    stage: Stage | None = None,
    is_repeated: bool = False,
) -> None:
    """Store lines of a running job, and record their size and its stage on the job row.

    Args:
        is_repeated: whether an earlier try to store the same lines may have been committed, because
            its answer was lost; they are stored once.
        stage: the stage that the job has reached; None leaves the stored one.
        overflowed: whether lines were dropped because of the limit; once set, it stays set.

    Raises:
        LeaseLostError: the token is no longer the job's.
    """
    if is_repeated and rows and _are_stored(session, lease, rows):
        return
    held_row(
        session,
        lease,
        sql(f"""
            UPDATE provisioner_jobs
            SET {LOG_SIZE},
                -- Lines arrive late, so they must not reset the stage of a job that reached apply.
                stage = CASE WHEN stage = 'apply' THEN stage ELSE coalesce(:stage, stage) END
            WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NULL
            RETURNING {NOTIFY.format(id="id")}
        """),  # noqa: S608 - made of constants
        **log_size(rows, overflowed=overflowed),
        stage=stage,
    )
    insert_lines(session, lease.job_id, rows)


def _are_stored(session: Session, lease: Lease, rows: Sequence[LogRow]) -> bool:
    """Return whether the transaction that stores these lines was committed.

    The last line stands for all: a worker writes no two lines with the same text and time.
    """
    # A statement of its own: the next one must see a COMMIT that this one has waited for.
    session.execute(
        sql("SELECT 1 FROM provisioner_jobs WHERE id = :job_id FOR NO KEY UPDATE"),
        {"job_id": lease.job_id},
    )
    found = session.execute(
        # Uses ix_provisioner_job_logs_job_id_id.
        sql("""
            SELECT 1
            FROM provisioner_job_logs
            WHERE job_id = :job_id AND created_at = :created_at AND output = :output
            LIMIT 1
        """),
        {"job_id": lease.job_id, "created_at": rows[-1].created_at, "output": rows[-1].output},
    )
    return found.first() is not None


def insert_lines(session: Session, job_id: uuid.UUID, rows: Sequence[LogRow]) -> None:
    """Store the lines only. The caller has locked the job and writes ``LOG_SIZE``."""
    if not rows:
        return
    session.execute(
        sql("""
            INSERT INTO provisioner_job_logs (job_id, created_at, source, level, stage, output)
            SELECT :job_id, line.*
            FROM unnest(
                CAST(:created_at AS timestamptz[]),
                CAST(:source AS log_source[]),
                CAST(:level AS log_level[]),
                CAST(:stage AS varchar[]),
                CAST(:output AS varchar[])
            ) AS line
        """),
        {
            "job_id": job_id,
            "created_at": [row.created_at for row in rows],
            "source": [row.source.value for row in rows],
            "level": [row.level.value for row in rows],
            "stage": [row.stage for row in rows],
            "output": [row.output for row in rows],
        },
    )


def log_size(rows: Sequence[LogRow], *, overflowed: bool) -> dict[str, object]:
    """Return the parameters of ``LOG_SIZE``."""
    return {"length": logs_size(rows), "limit": LOG_LIMIT_BYTES, "overflowed": overflowed}


def logs_size(rows: Sequence[LogRow]) -> int:
    """Return how many bytes of the job's limit the lines use."""
    return sum(len(row.output.encode()) for row in rows)
