"""The legal moves of a job, and the one statement that makes them.

PostgreSQL derives the status from ``started_at``, ``canceled_at``, ``completed_at`` and ``error``
(see ``db.schema.tables.jobs.JOB_STATUS_SQL``), and only ``move_job`` writes those columns.

``MOVES`` is the whole state machine. The guard of each statement, the chart in
docs/architecture.md and the test of every pair of states are derived from it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.events import record_job_end
from db.jobs.notices import NOTIFY
from db.schema.enums import (
    FailureReason,
    JobErrorCode,
    JobStatus,
    JobType,
    ProvisionerType,
    Stage,
    Transition,
)

_MOVES_MADE = "moves made"


class Verb(StrEnum):
    """What is done to a job. Functions, events and docs use the same word."""

    CLAIM = "claim"  #: a worker takes it and its lease
    REQUEUE = "requeue"  #: it goes back to its queue, before it had side effects
    CANCEL = "cancel"  #: somebody asks it to end
    COMPLETE = "complete"  #: it did all of its work
    FINISH_CANCEL = "finish_cancel"  #: it stopped cleanly after a cancel request
    FAIL = "fail"  #: it ended with an error
    EXPIRE = "expire"  #: nobody claimed it in time
    ORPHAN = "orphan"  #: its workspace is marked as deleted, without a worker


@dataclass(frozen=True)
class Move:
    """A verb, the status that it requires, and the status that it leads to."""

    verb: Verb
    before: JobStatus
    after: JobStatus


MOVES: tuple[Move, ...] = (
    Move(Verb.CLAIM, JobStatus.PENDING, JobStatus.RUNNING),
    Move(Verb.CANCEL, JobStatus.PENDING, JobStatus.CANCELED),
    Move(Verb.EXPIRE, JobStatus.PENDING, JobStatus.FAILED),
    Move(Verb.ORPHAN, JobStatus.PENDING, JobStatus.SUCCEEDED),
    Move(Verb.REQUEUE, JobStatus.RUNNING, JobStatus.PENDING),
    Move(Verb.CANCEL, JobStatus.RUNNING, JobStatus.CANCELING),
    Move(Verb.COMPLETE, JobStatus.RUNNING, JobStatus.SUCCEEDED),
    Move(Verb.FAIL, JobStatus.RUNNING, JobStatus.FAILED),
    # A cancel that arrives after everything was applied is too late.
    Move(Verb.COMPLETE, JobStatus.CANCELING, JobStatus.SUCCEEDED),
    Move(Verb.FINISH_CANCEL, JobStatus.CANCELING, JobStatus.CANCELED),
    Move(Verb.FAIL, JobStatus.CANCELING, JobStatus.FAILED),
)

THE_JOB = "id = :job_id FOR NO KEY UPDATE"
THE_HELD_JOB = "id = :job_id AND lease_token = :lease_token FOR NO KEY UPDATE"


_FACTS = """
    SELECT moved.id, moved.updated_at, moved.lease_token, moved.attempt, moved.drains, moved.queue,
           moved.provisioner::text, moved.type::text,
           moved.status_before::text, moved.job_status::text AS status_after,
           coalesce(moved.stage, moved.stage_before) AS stage,
           moved.error, moved.error_code, moved.failure_reason,
           moved.logs_length, moved.trace_metadata,
           build.transition::text, coalesce(template.name, '') AS template_name,
           extract(epoch FROM now() - moved.created_at)::float AS age_s,
           extract(epoch FROM now() - moved.started_before)::float AS seconds
    FROM moved
    LEFT JOIN workspace_builds AS build ON build.job_id = moved.id
    LEFT JOIN template_versions AS version ON version.id = build.template_version_id
    LEFT JOIN templates AS template ON template.id = version.template_id
"""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A move that was made: the event that metrics, traces and the log receive."""

    job_id: uuid.UUID
    move: Move
    at: datetime  #: the time of the transaction
    lease_token: uuid.UUID | None  #: the token on the row after the move
    attempt: int
    drains: int
    queue: str
    provisioner: ProvisionerType
    type: JobType
    transition: Transition | None  #: None unless the job is a workspace build
    template_name: str  #: empty unless the job is a workspace build
    age_s: float  #: from enqueue to this move
    seconds: float | None  #: from the last claim to this move; None if nobody held the job
    stage: Stage | None = None  #: the stage that the job had reached; None if nobody held it
    error: str | None = None
    error_code: JobErrorCode | None = None
    failure_reason: FailureReason | None = None
    worker_was_lost: bool = False  #: the job was taken from a lost worker
    logs_length: int = 0  #: bytes of its log that are stored
    trace_metadata: Mapping[str, str] | None = None  #: the W3C trace context of its enqueueing
    opened_circuits: Sequence[str] = ()  #: reasons, see ``db.jobs.circuits``
    closed_circuits: Sequence[str] = ()


def move_job(
    session: Session,
    verb: Verb,
    *,
    which: str,
    changes: str,
    parameters: Mapping[str, object],
    also: str = "",
    worker_was_lost: bool = False,
) -> Moved | None:
    """Move one job, and record the move in the session (see ``moves_made``).

    The lease is deleted when no worker holds the job after the move.

    Args:
        which: the rest of the SELECT that locks the job; it follows the guard of the verb.
        changes: assignments to columns of ``job``.
        also: more parts of the WITH clause, which may use ``moved``.

    Returns:
        The move; None if there is no such job in a status that the verb requires.
    """
    row = session.execute(sql(_statement(verb, which, changes, also)), parameters).one_or_none()
    if row is None:
        return None
    moved = _moved(verb, row, worker_was_lost=worker_was_lost)
    assert moved.move in MOVES, f"{moved.move} is not a legal move"
    if not moved.move.after.is_active:
        record_job_end(session, moved.job_id)
    session.info.setdefault(_MOVES_MADE, []).append(moved)
    return moved


def note_circuits(
    session: Session, moved: Moved, *, opened: Sequence[str] = (), closed: Sequence[str] = ()
) -> None:
    """Record what the session's last move has opened and closed."""
    made = session.info[_MOVES_MADE]
    assert made[-1] is moved, "another move was made since"
    made[-1] = replace(moved, opened_circuits=opened, closed_circuits=closed)


def moves_made(session: Session) -> tuple[Moved, ...]:
    """Return the moves that this session has made so far."""
    return tuple(session.info.get(_MOVES_MADE, ()))


def was_committed(session: Session, moved: Moved) -> bool:
    """Return whether the transaction that made the move was committed.

    For use when the answer to its COMMIT was lost. No other transaction can leave the row with this
    status, this time and this token. The row lock waits for a COMMIT that is still in progress.
    """
    row = session.execute(
        sql("""
            SELECT updated_at, lease_token, job_status::text AS status, drains,
                   attempt + drains AS claims
            FROM provisioner_jobs
            WHERE id = :job_id
            FOR NO KEY UPDATE
        """),
        {"job_id": moved.job_id},
    ).one_or_none()
    if row is None:
        return False
    if moved.move.verb is Verb.CLAIM:
        # No other claim has this token. A cancel may have changed status and time since.
        return bool(row.lease_token == moved.lease_token)
    if moved.move.verb is Verb.REQUEUE and row.claims > moved.attempt + moved.drains:
        # It has been claimed again since. If it was lost and reaped instead, drains did not grow.
        return bool(row.drains >= moved.drains)
    mark = (moved.at, moved.lease_token, moved.move.after)
    return mark == (row.updated_at, row.lease_token, row.status)


def _statement(verb: Verb, which: str, changes: str, also: str) -> str:
    expected = ", ".join(f"'{move.before}'" for move in MOVES if move.verb is verb)
    return f"""
        WITH found AS (
            SELECT id AS found_id,
                   job_status AS status_before,
                   stage AS stage_before,
                   started_at AS started_before
            FROM provisioner_jobs
            WHERE job_status IN ({expected}) AND {which}
        ), moved AS (
            UPDATE provisioner_jobs AS job
            SET updated_at = now(), {changes}
            FROM found
            WHERE job.id = found_id
            RETURNING job.*, found.*, {NOTIFY.format(id="job.id")}
        ), released AS (
            DELETE FROM leases
            USING moved
            WHERE leases.job_id = moved.id AND moved.job_status NOT IN ('running', 'canceling')
        ) {also}
        {_FACTS}
    """  # noqa: S608 - made of constants


def _moved(verb: Verb, row: Row[Any], *, worker_was_lost: bool) -> Moved:
    return Moved(
        job_id=row.id,
        move=Move(verb, JobStatus(row.status_before), JobStatus(row.status_after)),
        at=row.updated_at,
        lease_token=row.lease_token,
        attempt=row.attempt,
        drains=row.drains,
        queue=row.queue,
        provisioner=ProvisionerType(row.provisioner),
        type=JobType(row.type),
        transition=Transition(row.transition) if row.transition else None,
        template_name=row.template_name,
        age_s=row.age_s,
        seconds=row.seconds,
        stage=Stage(row.stage) if row.stage else None,
        error=row.error,
        error_code=JobErrorCode(row.error_code) if row.error_code else None,
        failure_reason=FailureReason(row.failure_reason) if row.failure_reason else None,
        worker_was_lost=worker_was_lost,
        logs_length=row.logs_length,
        trace_metadata=row.trace_metadata,
    )
