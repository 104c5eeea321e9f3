"""What operators do with workers from afar: drain them, and forget those that are gone.

A worker's row decides what it may claim, so a drain takes effect with the next claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit
from db.engine import sql
from db.errors import ConflictError, NotFoundError


def drain_worker(session: Session, name: str, *, actor: Actor) -> int:
    """Let a worker claim nothing more until it is resumed or started again; its builds go on.

    Returns:
        The number of its builds that run.

    Raises:
        NotFoundError: there is no such worker.
        ConflictError: several have the name, or it is drained or offline.
    """
    worker = _locked(session, name)
    if not worker.is_live:
        raise ConflictError(f"the worker {worker.name} is offline")
    if worker.drain_requested_at is not None or worker.draining:
        raise ConflictError(f"the worker {worker.name} is draining already")
    _set(session, worker, "now()", actor, AuditAction.DRAIN)
    return int(worker.held)


def resume_worker(session: Session, name: str, *, actor: Actor) -> None:
    """Let a drained worker claim jobs again.

    Raises:
        NotFoundError: there is no such worker.
        ConflictError: several have the name, or nobody has drained it.
    """
    worker = _locked(session, name)
    if worker.drain_requested_at is None:
        raise ConflictError(f"nobody has drained the worker {worker.name}")
    _set(session, worker, "NULL", actor, AuditAction.RESUME)


def forget_worker(session: Session, name: str, *, actor: Actor) -> None:
    """Delete the row of a worker that is gone. One that comes back registers again.

    Raises:
        NotFoundError: there is no such worker.
        ConflictError: several have the name, it is not offline, or a lease of it has not ended.
    """
    worker = _locked(session, name)
    if worker.is_live:
        raise ConflictError(f"the worker {worker.name} is not offline")
    if worker.held:
        raise ConflictError(
            f"the worker {worker.name} still holds {worker.held} builds; they are taken from it"
            " when their leases run out"
        )
    session.execute(sql("DELETE FROM provisioner_daemons WHERE id = :id"), {"id": worker.id})
    _audit(session, worker, actor, AuditAction.DELETE, {})


def _locked(session: Session, name: str) -> Row[Any]:
    rows = session.execute(
        sql("""
            SELECT id, name, draining, drain_requested_at,
                   (SELECT count(*) FROM leases WHERE worker_id = worker.id) AS held,
                   EXISTS (SELECT 1 FROM live_workers WHERE id = worker.id) AS is_live
            FROM provisioner_daemons AS worker
            WHERE lower(name) = lower(:name) OR id::text = lower(:name)
            FOR UPDATE
        """),
        {"name": name},
    ).all()
    if not rows:
        raise NotFoundError(f"there is no worker {name!r}")
    if len(rows) > 1:
        ids = ", ".join(str(row.id) for row in rows)
        raise ConflictError(f"several workers have the name {name!r}; give one of {ids}")
    return rows[0]


def _set(session: Session, worker: Row[Any], value: str, actor: Actor, action: AuditAction) -> None:
    session.execute(
        sql(f"UPDATE provisioner_daemons SET drain_requested_at = {value} WHERE id = :id"),  # noqa: S608 - a constant
        {"id": worker.id},
    )
    _audit(session, worker, actor, action, {"builds": worker.held})


def _audit(
    session: Session,
    worker: Row[Any],
    actor: Actor,
    action: AuditAction,
    facts: Mapping[str, object],
) -> None:
    audit(
        session,
        actor=actor,
        action=action,
        resource=("worker", worker.id, worker.name),
        facts=facts,
    )
