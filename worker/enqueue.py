"""Enqueueing builds, for any caller that has a SQLAlchemy session."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from db.catalog.workspaces import EnqueuedBuild, insert_build
from db.faults import fault_point
from db.schema.enums import BuildReason, Transition
from worker.app import app
from worker.broker.doorbell import Ring, ring_with
from worker.tracing.traces import BuildTracer, process_tracer

DOORBELLS = "provisionerd.doorbells"


def enqueue_build(
    session: Session,
    *,
    workspace_id: uuid.UUID,
    transition: Transition,
    initiator_id: uuid.UUID | None = None,
    template_version_id: uuid.UUID | None = None,
    parameters: Mapping[str, str] | None = None,
    reason: BuildReason = BuildReason.INITIATOR,
    trace_metadata: dict[str, Any] | None = None,
    ring: Ring | None = None,
    tracer: BuildTracer | None = None,
) -> EnqueuedBuild:
    """Enqueue a build of the workspace in the caller's transaction.

    Job and build are rows of that transaction: they exist when it commits, and not when it rolls
    back. After the commit the queue's doorbell is rung, in bounded time: when Redis is away, the
    build is accepted all the same, and a worker's sweeper rings later.

    Args:
        initiator_id: who asked for it; the workspace's owner when None.
        template_version_id: what to build from; the previous build's version when None.
        parameters: values for this build; those of the previous build stand where none is given.
        trace_metadata: the W3C trace context that the build belongs to, when not the caller's
            current span (see ``worker.tracing.traces``).
        ring: how to ring, when not through this project's Celery application.
        tracer: of the enqueueing, when not this process's own.

    Raises:
        NotFoundError: there is no such workspace, it was deleted, or it has no usable version.
        BuildActiveError: the workspace has an unfinished build.
        ConflictError: the template version cannot be built from.
    """
    wanted = Transition(transition)
    with (tracer or process_tracer()).enqueue(wanted) as carrier:
        build = insert_build(
            session,
            workspace_id=workspace_id,
            transition=wanted,
            initiator_id=initiator_id,
            template_version_id=template_version_id,
            parameters=parameters,
            reason=reason,
            trace_metadata=trace_metadata or dict(carrier) or None,
        )
    _ring_after_commit(session, build.queue, ring or ring_with(app))
    return build


def _ring_after_commit(session: Session, queue: str, ring: Ring) -> None:
    if DOORBELLS not in session.info:
        session.info[DOORBELLS] = []
        event.listen(session, "after_commit", _ring_all)
        event.listen(session, "after_rollback", _forget_all)
    session.info[DOORBELLS].append((queue, ring))


def _ring_all(session: Session) -> None:
    if session.in_nested_transaction():
        # Only a savepoint was released: nobody else sees the rows yet.
        return
    fault_point("enqueue.committed")
    doorbells, session.info[DOORBELLS] = session.info[DOORBELLS], []
    for queue, ring in doorbells:
        ring(queue)


def _forget_all(session: Session) -> None:
    session.info[DOORBELLS] = []
