"""Pauses of queues: no worker claims the jobs of a paused queue, and none of them expires.

The row is kept after the resumption, because the wait of its jobs begins then.
"""

from __future__ import annotations

import re
import uuid

from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit
from db.engine import sql
from db.errors import ConflictError, InvalidError
from db.jobs.tags import UNTAGGED_QUEUE
from db.texts import check_storable

MAX_REASON = 200
_NAME = re.compile(rf"{UNTAGGED_QUEUE}(-[0-9a-f]{{16}})?")


def pause_queue(session: Session, queue: str, *, actor: Actor, reason: str = "") -> None:
    """Pause a queue until it is resumed. Jobs that run go on.

    Raises:
        InvalidError: no queue has such a name, or the reason is too long.
        ConflictError: the queue is paused already.
    """
    _check_name(queue)
    if len(reason) > MAX_REASON:
        raise InvalidError(f"a reason has at most {MAX_REASON} characters")
    paused = session.execute(
        sql("""
            INSERT INTO queue_pauses AS pause (queue, paused_by, reason)
            VALUES (:queue, :paused_by, :reason)
            ON CONFLICT (queue) DO UPDATE
            SET paused_by = excluded.paused_by, reason = excluded.reason,
                paused_at = now(), resumed_at = NULL
            WHERE pause.resumed_at IS NOT NULL
            RETURNING queue
        """),
        {
            "queue": queue,
            "paused_by": actor.username,
            "reason": check_storable("reason", reason),
        },
    ).one_or_none()
    if paused is None:
        raise ConflictError(f"the queue {queue} is paused already")
    _audit(session, queue, actor, AuditAction.PAUSE, reason)


def resume_queue(session: Session, queue: str, *, actor: Actor) -> None:
    """Let workers claim the jobs of a queue again.

    Raises:
        InvalidError: no queue has such a name.
        ConflictError: the queue is not paused.
    """
    _check_name(queue)
    resumed = session.execute(
        sql("""
            UPDATE queue_pauses SET resumed_at = now()
            WHERE queue = :queue AND resumed_at IS NULL
            RETURNING queue
        """),
        {"queue": queue},
    ).one_or_none()
    if resumed is None:
        raise ConflictError(f"the queue {queue} is not paused")
    _audit(session, queue, actor, AuditAction.RESUME, "")


def _check_name(queue: str) -> None:
    if not _NAME.fullmatch(queue):
        raise InvalidError(
            f"{queue[:50]!r} is not the name of a queue; `provisionerd queue` lists them"
        )


def _audit(session: Session, queue: str, actor: Actor, action: AuditAction, reason: str) -> None:
    resource = ("queue", uuid.uuid5(uuid.NAMESPACE_OID, queue), queue)
    audit(session, actor=actor, action=action, resource=resource, facts={"reason": reason})
