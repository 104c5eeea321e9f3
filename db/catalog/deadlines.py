"""The deadline of a running workspace: extending it, ending it, and finding those that are due."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import ConflictError, InvalidError
from db.jobs.events import EventType, record_workspace
from db.schema.enums import JobStatus, Transition

SOONEST = timedelta(minutes=30)
_FAILED_STOP = (Transition.STOP, JobStatus.FAILED)

_EXTEND = sql("""
    WITH extended AS (
        UPDATE autostops SET due_at = :deadline
        WHERE workspace_id = :workspace_id AND NOT is_retry
        RETURNING workspace_id
    )
    UPDATE workspace_builds AS build
    SET deadline = :deadline, updated_at = now()
    FROM extended, latest_workspace_builds AS latest
    WHERE latest.workspace_id = extended.workspace_id AND build.id = latest.id
    RETURNING build.id
""")
# A write for each keystroke would be of no use: only what gains a twentieth is written.
_BUMP = sql("""
    WITH bumped AS (
        UPDATE autostops
        SET due_at = now() + bump
        FROM workspaces AS workspace
        JOIN templates AS template ON template.id = workspace.template_id
        CROSS JOIN LATERAL make_interval(secs => template.activity_bump / 1e9) AS bump
        WHERE autostops.workspace_id = :workspace_id
          AND workspace.id = autostops.workspace_id
          AND NOT is_retry
          AND template.activity_bump > 0
          AND due_at < now() + bump * 0.95
        RETURNING autostops.workspace_id, due_at
    )
    UPDATE workspace_builds AS build
    SET deadline = bumped.due_at
    FROM bumped, latest_workspace_builds AS latest
    WHERE latest.workspace_id = bumped.workspace_id AND build.id = latest.id
    RETURNING build.deadline
""")
# Uses: ix_autostops_due_at. The workspace is locked first, as by all that enqueue.
_LOCK_DUE = sql("""
    SELECT workspace.id
    FROM autostops
    JOIN workspaces AS workspace ON workspace.id = autostops.workspace_id
    WHERE due_at <= now()
      AND (NOT is_retry OR due_at <= now() - CAST(:retry_after AS interval))
    ORDER BY due_at
    LIMIT 1
    FOR UPDATE OF workspace SKIP LOCKED
""")
_READ_DUE = sql("""
    SELECT workspace.deleted, is_retry, latest.transition::text, job.job_status::text AS status
    FROM autostops
    JOIN workspaces AS workspace ON workspace.id = autostops.workspace_id
    JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
    JOIN provisioner_jobs AS job ON job.id = latest.job_id
    WHERE autostops.workspace_id = :workspace_id AND due_at <= now()
    FOR UPDATE OF autostops
""")


@dataclass(frozen=True, kw_only=True)
class DueWorkspace:
    """A workspace whose deadline has passed, locked until the end of the transaction."""

    id: uuid.UUID
    must_stop: bool  #: it is not stopped already, and no build of it is active
    is_busy: bool  #: a build of it is active: whether it must stop shows later


def extend_deadline(session: Session, workspace_id: uuid.UUID, deadline: datetime) -> None:
    """Let a running workspace run until another time.

    Raises:
        InvalidError: that is in less than 30 minutes.
        ConflictError: the workspace does not run, or has no deadline.
    """
    if deadline < datetime.now(UTC) + SOONEST:
        raise InvalidError("the new deadline must be at least 30 minutes in the future")
    values = {"workspace_id": workspace_id, "deadline": deadline}
    if session.execute(_EXTEND, values).one_or_none() is None:
        raise ConflictError("Workspace has no deadline; it runs until somebody stops it.")
    record_workspace(session, workspace_id, EventType.WORKSPACE_UPDATED)


def bump_activity(session: Session, workspace_id: uuid.UUID) -> datetime | None:
    """Record that a workspace is used: it has at least the template's ``activity_bump`` to run.

    Returns:
        The new deadline; None if it did not change.
    """
    session.execute(
        sql("UPDATE workspaces SET last_used_at = now() WHERE id = :workspace_id"),
        {"workspace_id": workspace_id},
    )
    bumped: datetime | None = session.execute(
        _BUMP, {"workspace_id": workspace_id}
    ).scalar_one_or_none()
    return bumped


def end_deadline(session: Session, workspace_id: uuid.UUID) -> None:
    """Let a running workspace run until somebody stops it."""
    session.execute(
        sql("""
            WITH ended AS (
                DELETE FROM autostops WHERE workspace_id = :workspace_id AND NOT is_retry
                RETURNING workspace_id
            )
            UPDATE workspace_builds AS build
            SET deadline = '0001-01-01 00:00:00+00'
            FROM ended, latest_workspace_builds AS latest
            WHERE latest.workspace_id = ended.workspace_id AND build.id = latest.id
        """),
        {"workspace_id": workspace_id},
    )


def lock_due(session: Session, *, retry_after: timedelta | None) -> DueWorkspace | None:
    """Lock a workspace that is due to be stopped; None if there is none, or others have them all.

    Args:
        retry_after: how long after its failure a stop is tried once more; None: never.
    """
    after = retry_after if retry_after is not None else timedelta(days=36_500)
    workspace_id = session.execute(_LOCK_DUE, {"retry_after": after}).scalar_one_or_none()
    if workspace_id is None:
        return None
    row = session.execute(_READ_DUE, {"workspace_id": workspace_id}).one_or_none()
    if row is None:  # extended, ended or acted on since
        return DueWorkspace(id=workspace_id, must_stop=False, is_busy=True)
    is_busy = JobStatus(row.status).is_active
    is_stopped = (row.transition, row.status) == (Transition.STOP, JobStatus.SUCCEEDED)
    is_outdated = row.is_retry and (row.transition, row.status) != _FAILED_STOP
    must_stop = not (row.deleted or is_stopped or is_busy or is_outdated)
    return DueWorkspace(id=workspace_id, must_stop=must_stop, is_busy=is_busy)


def postpone(session: Session, workspace_id: uuid.UUID, by: timedelta) -> None:
    """Look at a due workspace again later."""
    session.execute(
        sql("""
            UPDATE autostops SET due_at = now() + :by
            WHERE workspace_id = :workspace_id AND due_at <= now()
        """),
        {"workspace_id": workspace_id, "by": by},
    )


def forget_deadline(session: Session, workspace_id: uuid.UUID) -> None:
    """Forget that a workspace is due: its stop is enqueued, or not needed."""
    session.execute(
        sql("DELETE FROM autostops WHERE workspace_id = :workspace_id"),
        {"workspace_id": workspace_id},
    )
