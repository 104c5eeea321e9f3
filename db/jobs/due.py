"""What is older than its retention: each turn finds some of it, after what the last one found."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql

LINES_PER_TURN = 1000
# Timings and resources are deleted with their jobs, a few hundred rows for each.
JOBS_PER_TURN = 200
NOTHING = uuid.UUID(int=0)  # less than any id


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Data of jobs that ended before these times is due. Database time, the same in all turns."""

    logs: datetime
    states: datetime
    jobs: datetime
    audit_logs: datetime
    chats: datetime


@dataclass(frozen=True, kw_only=True)
class Due:
    """What one turn found, and where the next turn continues."""

    lines: Sequence[int] = ()
    stripped_builds: Sequence[uuid.UUID] = ()
    stripped_replaced: Sequence[int] = ()
    builds: Sequence[uuid.UUID] = ()
    jobs: Sequence[uuid.UUID] = ()
    audit_logs: Sequence[uuid.UUID] = ()
    chats: Sequence[Row[Any]] = ()  #: owner_id, id and updated_at
    next: Cursor | None = None  #: None: there is no more


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The last row of each kind that earlier turns have seen."""

    line: int = 0
    replaced: int = 0
    audit_log: tuple[datetime | str, uuid.UUID] = ("-infinity", NOTHING)
    chat: tuple[uuid.UUID, str] = (NOTHING, "")
    job: tuple[datetime | str, uuid.UUID] = ("-infinity", NOTHING)


def due_lines(session: Session, bounds: Bounds, cursor: Cursor) -> Due:
    """Find old lines. Their ids grow with time, so this walks the primary key from its start."""
    rows = session.execute(
        sql("""
            SELECT line.id,
                   line.created_at < :before AS is_old,
                   coalesce(job.completed_at < :before, false) AS is_due
            FROM (
                SELECT id, job_id, created_at
                FROM provisioner_job_logs
                WHERE id > :after
                ORDER BY id
                LIMIT :limit
            ) AS line
            JOIN provisioner_jobs AS job ON job.id = line.job_id
            ORDER BY line.id
        """),
        {"before": bounds.logs, "after": cursor.line, "limit": LINES_PER_TURN},
    ).all()
    has_more = len(rows) == LINES_PER_TURN and any(row.is_old for row in rows)
    return Due(
        lines=[row.id for row in rows if row.is_due],
        next=Cursor(line=rows[-1].id) if has_more else None,
    )


def due_replaced_states(session: Session, bounds: Bounds, cursor: Cursor) -> Due:
    """Find states that a person replaced. There are few of them, so this needs no index."""
    rows = session.scalars(
        sql("""
            SELECT id
            FROM replaced_states
            WHERE id > :after AND replaced_at < :before AND provisioner_state IS NOT NULL
            ORDER BY id
            LIMIT :limit
        """),
        {"before": bounds.states, "after": cursor.replaced, "limit": JOBS_PER_TURN},
    ).all()
    has_more = len(rows) == JOBS_PER_TURN
    return Due(stripped_replaced=rows, next=Cursor(replaced=rows[-1]) if has_more else None)


# A build is superseded when its workspace is deleted, or a later build of the workspace has
# everything that this one has: a state, and having entered apply. The next build starts from the
# latest state, and follows the last build that entered apply.
FIND_ENDED_JOBS = sql("""
    SELECT job.id, job.completed_at, build.id AS build_id,
           job.completed_at < :jobs_before AS is_job_due,
           job.completed_at < :states_before
               AND build.provisioner_state IS NOT NULL
               -- The last state of a deleted workspace is kept as long as its job.
               AND EXISTS (
                   SELECT 1
                   FROM workspace_builds AS later
                   WHERE later.workspace_id = build.workspace_id
                     AND later.build_number > build.build_number
                     AND later.provisioner_state IS NOT NULL
               ) AS is_state_due,
           job.type = 'template_version_dry_run' OR job.type = 'workspace_build' AND (
               build.id IS NULL
               OR workspace.deleted
               OR EXISTS (
                   SELECT 1
                   FROM workspace_builds AS later
                   LEFT JOIN applied_workspace_builds AS later_applied
                          ON later_applied.id = later.id
                   WHERE later.workspace_id = build.workspace_id
                     AND (applied.id IS NULL OR later_applied.id IS NOT NULL)
                     AND later.build_number > build.build_number
                     AND (build.provisioner_state IS NULL
                          OR later.provisioner_state IS NOT NULL)
               )
           ) AS is_superseded
    FROM (
        SELECT id, type, completed_at
        FROM provisioner_jobs
        WHERE completed_at >= CAST(:at AS timestamptz)
          AND completed_at < :before
          AND (completed_at, id) > (CAST(:at AS timestamptz), :job_id)
        ORDER BY completed_at, id
        LIMIT :limit
    ) AS job
    LEFT JOIN workspace_builds AS build ON build.job_id = job.id
    LEFT JOIN applied_workspace_builds AS applied ON applied.id = build.id
    LEFT JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    ORDER BY job.completed_at, job.id
""")


def due_jobs(session: Session, bounds: Bounds, cursor: Cursor) -> Due:
    """Find superseded builds with their jobs, and superseded states, in the order of their end."""
    at, job_id = cursor.job
    rows = session.execute(
        FIND_ENDED_JOBS,
        {
            "at": at,
            "job_id": job_id,
            "before": max(bounds.jobs, bounds.states),
            "jobs_before": bounds.jobs,
            "states_before": bounds.states,
            "limit": JOBS_PER_TURN,
        },
    ).all()
    superseded = [row for row in rows if row.is_superseded]
    has_more = len(rows) == JOBS_PER_TURN
    return _due_of_superseded(
        superseded, Cursor(job=(rows[-1].completed_at, rows[-1].id)) if has_more else None
    )


def _due_of_superseded(superseded: Sequence[Row[Any]], following: Cursor | None) -> Due:
    jobs = [row for row in superseded if row.is_job_due]
    states = [row for row in superseded if row.is_state_due and not row.is_job_due]
    return Due(
        stripped_builds=[row.build_id for row in states],
        builds=[row.build_id for row in jobs if row.build_id is not None],
        jobs=[row.id for row in jobs],
        next=following,
    )


def due_audit_logs(session: Session, bounds: Bounds, cursor: Cursor) -> Due:
    """Find old rows of the audit log, the oldest first."""
    at, last = cursor.audit_log
    rows = session.execute(
        # Uses ix_audit_logs_time_id.
        sql("""
            SELECT id, time
            FROM audit_logs
            WHERE (time, id) > (CAST(:at AS timestamptz), :last) AND time < :before
            ORDER BY time, id
            LIMIT :limit
        """),
        {"at": at, "last": last, "before": bounds.audit_logs, "limit": LINES_PER_TURN},
    ).all()
    has_more = len(rows) == LINES_PER_TURN
    return Due(
        audit_logs=[row.id for row in rows],
        next=Cursor(audit_log=(rows[-1].time, rows[-1].id)) if has_more else None,
    )


def due_chats(session: Session, bounds: Bounds, cursor: Cursor) -> Due:
    """Find chats that were not used for long and have no workspace, by their owners."""
    owner_id, chat_id = cursor.chat
    rows = session.execute(
        # Uses pk_chats.
        sql("""
            SELECT chat.owner_id, chat.id, chat.updated_at,
                   chat.updated_at < :before AND coalesce(workspace.deleted, true) AS is_due
            FROM (
                SELECT owner_id, id, updated_at, workspace_id
                FROM chats
                WHERE (owner_id, id) > (:owner_id, :chat_id)
                ORDER BY owner_id, id
                LIMIT :limit
            ) AS chat
            LEFT JOIN workspaces AS workspace ON workspace.id = chat.workspace_id
            ORDER BY chat.owner_id, chat.id
        """),
        {
            "before": bounds.chats,
            "owner_id": owner_id,
            "chat_id": chat_id,
            "limit": LINES_PER_TURN,
        },
    ).all()
    has_more = len(rows) == LINES_PER_TURN
    return Due(
        chats=[row for row in rows if row.is_due],
        next=Cursor(chat=(rows[-1].owner_id, rows[-1].id)) if has_more else None,
    )
