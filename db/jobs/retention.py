"""Retention: what is deleted of what is finished, and when.

What is never deleted: an unfinished job; the latest build of a workspace that is not deleted, with
its job, its parameters and its state, since the next build starts from it; the job that imported a
template version, with its archive; and the rows of workspaces themselves.

The work is done in small transactions that each take a turn with the pruner's lock, so that builds
wait for none of them, and whoever stops half-way has done no harm.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.engine import Database, sql
from db.errors import InvalidError

ADVISORY_LOCK = 7_203_482_612
LINES_PER_TURN = 1000
# Timings and resources go with their jobs, some hundred rows each.
JOBS_PER_TURN = 200


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long things are kept after the end of their job.

    Raises:
        InvalidError: something is to be kept for longer than its job.
    """

    logs: timedelta = timedelta(days=30)
    #: of builds that a later one has superseded, and those that a person has replaced
    states: timedelta = timedelta(days=30)
    jobs: timedelta = timedelta(days=90)  #: with their builds, timings and resources

    def __post_init__(self) -> None:
        """Check that nothing outlives what it belongs to."""
        if max(self.logs, self.states) > self.jobs:
            raise InvalidError(
                "logs and states cannot be kept for longer than the jobs they are of"
            )


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """How much was deleted, or would be."""

    log_lines: int = 0
    states: int = 0
    jobs: int = 0
    is_complete: bool = True  #: False: another process prunes, or this one was told to stop

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
    """What ended before these times is due. By the database's clock, the same for all turns."""

    logs: datetime
    states: datetime
    jobs: datetime


@dataclass(frozen=True, kw_only=True)
class _Due:
    """What one turn found, and whether there may be more."""

    lines: Sequence[int] = ()
    stripped_builds: Sequence[uuid.UUID] = ()
    stripped_replaced: Sequence[int] = ()
    builds: Sequence[uuid.UUID] = ()
    jobs: Sequence[uuid.UUID] = ()
    next: _Place | None = None


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Up to where a walk has come."""

    line: int = 0
    replaced: int = 0
    job: tuple[datetime | str, uuid.UUID] = ("-infinity", uuid.UUID(int=0))


_Look = Callable[[Session, _Bounds, _Place], _Due]


def prune(
    database: Database,
    retention: Retention,
    *,
    is_dry_run: bool = False,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Pruned:
    """Delete what is no longer to be kept; return how much that was.

    Args:
        is_dry_run: only count.
        may_go_on: asked before each turn of at most a thousand rows.
    """
    with database.begin() as session:
        bounds = _bounds(session, retention)
    total = Pruned()
    for look in (_due_lines, _due_replaced_states, _due_jobs):
        place: _Place | None = _Place()
        while place is not None:
            if not may_go_on():
                return total + Pruned(is_complete=False)
            with database.begin() as session:
                if not is_dry_run and not _take_turn(session):
                    return total + Pruned(is_complete=False)
                due = look(session, bounds, place)
                if not is_dry_run:
                    _delete(session, due)
            total += _count(due)
            place = due.next
    return total


def is_pruner(session: Session, *, worker_id: uuid.UUID) -> bool:
    """Return whether it is this worker's part to prune: one of those alive has it."""
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


def _take_turn(session: Session) -> bool:
    """Take the pruner's lock until the end of the transaction, unless another one has it."""
    query = sql("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(session.execute(query, {"key": ADVISORY_LOCK}).scalar_one())


def _due_lines(session: Session, bounds: _Bounds, place: _Place) -> _Due:
    """Find lines from the front of the table: their ids grow with time, so no index is needed."""
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
        {"before": bounds.logs, "after": place.line, "limit": LINES_PER_TURN},
    ).all()
    has_more = len(rows) == LINES_PER_TURN and any(row.is_old for row in rows)
    return _Due(
        lines=[row.id for row in rows if row.is_due],
        next=_Place(line=rows[-1].id) if has_more else None,
    )


def _due_replaced_states(session: Session, bounds: _Bounds, place: _Place) -> _Due:
    """Find states that a person has replaced; there are few, and their rows are small."""
    rows = session.scalars(
        sql("""
            SELECT id
            FROM replaced_states
            WHERE id > :after AND replaced_at < :before AND provisioner_state IS NOT NULL
            ORDER BY id
            LIMIT :limit
        """),
        {"before": bounds.states, "after": place.replaced, "limit": JOBS_PER_TURN},
    ).all()
    has_more = len(rows) == JOBS_PER_TURN
    return _Due(stripped_replaced=rows, next=_Place(replaced=rows[-1]) if has_more else None)


def _due_jobs(session: Session, bounds: _Bounds, place: _Place) -> _Due:
    """Find jobs in the order in which they ended, and those of their builds that are superseded.

    A build is superseded when a later one of its workspace has a state, if it has one itself, and
    has entered apply, if it has itself: the next build follows the last one that did. And all are
    when their workspace was deleted.
    """
    at, job_id = place.job
    rows = session.execute(
        sql("""
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
        """),
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
    gone = [row for row in superseded if row.is_job_due]
    has_more = len(rows) == JOBS_PER_TURN
    return _Due(
        stripped_builds=[
            row.build_id for row in superseded if row.is_state_due and not row.is_job_due
        ],
        builds=[row.build_id for row in gone if row.build_id is not None],
        jobs=[row.id for row in gone],
        next=_Place(job=(rows[-1].completed_at, rows[-1].id)) if has_more else None,
    )


def _delete(session: Session, due: _Due) -> None:
    # Lineage and serial stay where a state went: they still say what it had.
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
