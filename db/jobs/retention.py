"""Retention: which old logs, states and jobs are deleted, and when.

These are never deleted:

- an unfinished job;
- the latest build of a workspace that is not deleted, with its job, parameters and state, because
  the next build starts from it;
- the job that imported a template version, with its archive;
- the rows of workspaces.

The work is done in small transactions, each under the pruner's lock. No build waits for them, and
it is safe to stop between any two of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import Database, sql
from db.errors import InvalidError

ADVISORY_LOCK = 7_203_482_612
LINES_PER_TURN = 1000
# Timings and resources are deleted with their jobs, a few hundred rows for each.
JOBS_PER_TURN = 200


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long data is kept after the end of its job.

    Raises:
        InvalidError: logs or states would be kept for longer than their jobs.
    """

    logs: timedelta = timedelta(days=30)
    #: states of superseded builds, and states that a person replaced
    states: timedelta = timedelta(days=30)
    jobs: timedelta = timedelta(days=90)  #: with their builds, timings and resources

    def __post_init__(self) -> None:
        """Check that nothing is kept for longer than its job."""
        if max(self.logs, self.states) > self.jobs:
            raise InvalidError(
                "logs and states cannot be kept for longer than the jobs that they belong to"
            )


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """How much was deleted, or would be deleted by a run that is not dry."""

    log_lines: int = 0
    states: int = 0
    jobs: int = 0
    is_complete: bool = True  #: False: another process prunes, or this one was stopped

    def __add__(self, other: Pruned) -> Pruned:
        """Return the sum; it is complete when both are."""
        return Pruned(
            log_lines=self.log_lines + other.log_lines,
            states=self.states + other.states,
            jobs=self.jobs + other.jobs,
            is_complete=self.is_complete and other.is_complete,
        )


@dataclass(frozen=True, kw_only=True)
class _Bounds:
    """Data of jobs that ended before these times is due. Database time, the same in all turns."""

    logs: datetime
    states: datetime
    jobs: datetime


@dataclass(frozen=True, kw_only=True)
class _Due:
    """What one turn found, and where the next turn continues."""

    lines: Sequence[int] = ()
    stripped_builds: Sequence[uuid.UUID] = ()
    stripped_replaced: Sequence[int] = ()
    builds: Sequence[uuid.UUID] = ()
    jobs: Sequence[uuid.UUID] = ()
    next: _Cursor | None = None  #: None: there is no more


@dataclass(frozen=True, kw_only=True)
class _Cursor:
    """The last row of each kind that earlier turns have seen."""

    line: int = 0
    replaced: int = 0
    job: tuple[datetime | str, uuid.UUID] = ("-infinity", uuid.UUID(int=0))


_Find = Callable[[Session, _Bounds, _Cursor], _Due]


def prune(
    database: Database,
    retention: Retention,
    *,
    is_dry_run: bool = False,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Pruned:
    """Delete what is older than its retention, and return how much that was.

    Args:
        is_dry_run: only count.
        may_go_on: asked before each turn of at most a thousand rows; False stops the pruning.
    """
    with database.begin() as session:
        bounds = _bounds(session, retention)
    total = Pruned()
    for find in (_due_lines, _due_replaced_states, _due_jobs):
        cursor: _Cursor | None = _Cursor()
        while cursor is not None:
            due = _turn(database, find, bounds, cursor, is_dry_run) if may_go_on() else None
            if due is None:
                return total + Pruned(is_complete=False)
            total += _count(due)
            cursor = due.next
    return total


def _turn(
    database: Database, find: _Find, bounds: _Bounds, cursor: _Cursor, is_dry_run: bool
) -> _Due | None:
    """Find some of what is due and delete it; None when another process prunes."""
    with database.begin() as session:
        if is_dry_run:
            return find(session, bounds, cursor)
        if not _take_lock(session):
            return None
        due = find(session, bounds, cursor)
        _delete(session, due)
        return due


def is_pruner(session: Session, *, worker_id: uuid.UUID) -> bool:
    """Return whether this worker does the pruning: exactly one of the live workers does."""
    first = session.execute(
        sql("""
            SELECT id
            FROM live_workers
            WHERE takes_jobs
            ORDER BY id
            LIMIT 1
        """)
    ).first()
    return first is not None and first.id == worker_id


def _bounds(session: Session, retention: Retention) -> _Bounds:
    row = session.execute(
        sql("SELECT now() - :logs AS logs, now() - :states AS states, now() - :jobs AS jobs"),
        {"logs": retention.logs, "states": retention.states, "jobs": retention.jobs},
    ).one()
    return _Bounds(**row._asdict())


def _take_lock(session: Session) -> bool:
    """Take the pruner's lock until the end of the transaction, unless another process holds it."""
    query = sql("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(session.execute(query, {"key": ADVISORY_LOCK}).scalar_one())


def _due_lines(session: Session, bounds: _Bounds, cursor: _Cursor) -> _Due:
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
    return _Due(
        lines=[row.id for row in rows if row.is_due],
        next=_Cursor(line=rows[-1].id) if has_more else None,
    )


def _due_replaced_states(session: Session, bounds: _Bounds, cursor: _Cursor) -> _Due:
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
    return _Due(stripped_replaced=rows, next=_Cursor(replaced=rows[-1]) if has_more else None)


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
           job.type = 'workspace_build' AND (
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


def _due_jobs(session: Session, bounds: _Bounds, cursor: _Cursor) -> _Due:
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
        superseded, _Cursor(job=(rows[-1].completed_at, rows[-1].id)) if has_more else None
    )


def _due_of_superseded(superseded: Sequence[Row[Any]], following: _Cursor | None) -> _Due:
    jobs = [row for row in superseded if row.is_job_due]
    states = [row for row in superseded if row.is_state_due and not row.is_job_due]
    return _Due(
        stripped_builds=[row.build_id for row in states],
        builds=[row.build_id for row in jobs if row.build_id is not None],
        jobs=[row.id for row in jobs],
        next=following,
    )


def _delete(session: Session, due: _Due) -> None:
    # Lineage and serial are kept when a state is deleted: they show that there was one.
    for statement, ids in (
        ("DELETE FROM provisioner_job_logs WHERE id = ANY(:ids)", due.lines),
        (
            "UPDATE workspace_builds SET provisioner_state = NULL WHERE id = ANY(:ids)",
            due.stripped_builds,
        ),
        (
            "UPDATE replaced_states SET provisioner_state = NULL WHERE id = ANY(:ids)",
            due.stripped_replaced,
        ),
        ("DELETE FROM workspace_builds WHERE id = ANY(:ids)", due.builds),
        ("DELETE FROM provisioner_jobs WHERE id = ANY(:ids)", due.jobs),
    ):
        if ids:
            session.execute(sql(statement), {"ids": list(ids)})


def _count(due: _Due) -> Pruned:
    states = len(due.stripped_builds) + len(due.stripped_replaced)
    return Pruned(log_lines=len(due.lines), states=states, jobs=len(due.jobs))
