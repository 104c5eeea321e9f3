"""Retention: which old logs, states, jobs, rows of the audit log and chats are deleted, and when.

These are never deleted:

- an unfinished job;
- the latest build of a workspace that is not deleted, with its job, parameters and state, because
  the next build starts from it;
- the job that imported a template version, with its archive;
- the rows of workspaces;
- a chat whose workspace exists.

The work is done in small transactions, each under the pruner's lock. No build waits for them, and
it is safe to stop between any two of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import Database, sql
from db.errors import InvalidError
from db.jobs.due import (
    Bounds,
    Cursor,
    Due,
    due_audit_logs,
    due_chats,
    due_jobs,
    due_lines,
    due_replaced_states,
)

ADVISORY_LOCK = 7_203_482_612


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
    audit_logs: timedelta = timedelta(days=365)
    chats: timedelta = timedelta(days=30)  #: without a workspace, after their last use

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
    audit_logs: int = 0
    chats: int = 0
    is_complete: bool = True  #: False: another process prunes, or this one was stopped

    def __add__(self, other: Pruned) -> Pruned:
        """Return the sum; it is complete when both are."""
        return Pruned(
            log_lines=self.log_lines + other.log_lines,
            states=self.states + other.states,
            jobs=self.jobs + other.jobs,
            audit_logs=self.audit_logs + other.audit_logs,
            chats=self.chats + other.chats,
            is_complete=self.is_complete and other.is_complete,
        )


_Find = Callable[[Session, Bounds, Cursor], Due]


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
    for find in (due_lines, due_replaced_states, due_jobs, due_audit_logs, due_chats):
        cursor: Cursor | None = Cursor()
        while cursor is not None:
            due = _turn(database, find, bounds, cursor, is_dry_run) if may_go_on() else None
            if due is None:
                return total + Pruned(is_complete=False)
            total += _count(due)
            cursor = due.next
    return total


def _turn(
    database: Database, find: _Find, bounds: Bounds, cursor: Cursor, is_dry_run: bool
) -> Due | None:
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


def _bounds(session: Session, retention: Retention) -> Bounds:
    row = session.execute(
        sql("""
            SELECT now() - :logs AS logs, now() - :states AS states, now() - :jobs AS jobs,
                   now() - :audit_logs AS audit_logs, now() - :chats AS chats
        """),
        asdict(retention),
    ).one()
    return Bounds(**row._asdict())


def _take_lock(session: Session) -> bool:
    """Take the pruner's lock until the end of the transaction, unless another process holds it."""
    query = sql("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(session.execute(query, {"key": ADVISORY_LOCK}).scalar_one())


def _delete(session: Session, due: Due) -> None:
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
        ("DELETE FROM audit_logs WHERE id = ANY(:ids)", due.audit_logs),
    ):
        if ids:
            session.execute(sql(statement), {"ids": list(ids)})
    if due.chats:
        _delete_chats(session, due.chats)


def _delete_chats(session: Session, chats: Sequence[Row[Any]]) -> None:
    """Delete chats that were not used since they were found."""
    session.execute(
        sql("""
            DELETE FROM chats
            USING unnest(CAST(:owners AS uuid[]), CAST(:ids AS text[]),
                         CAST(:times AS timestamptz[])) AS due (owner_id, id, updated_at)
            WHERE chats.owner_id = due.owner_id AND chats.id = due.id
              AND chats.updated_at = due.updated_at
        """),
        {
            "owners": [chat.owner_id for chat in chats],
            "ids": [chat.id for chat in chats],
            "times": [chat.updated_at for chat in chats],
        },
    )


def _count(due: Due) -> Pruned:
    states = len(due.stripped_builds) + len(due.stripped_replaced)
    return Pruned(
        log_lines=len(due.lines),
        states=states,
        jobs=len(due.jobs),
        audit_logs=len(due.audit_logs),
        chats=len(due.chats),
    )
