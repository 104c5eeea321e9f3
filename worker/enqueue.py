"""Enqueueing builds, for any caller that has a SQLAlchemy session.

It runs in the caller's process: importing it has no side effect, a call starts at most one daemon
thread (see ``worker.broker.ringer``), and no worker setting is read.
"""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import event

from db.catalog.arguments import BuildArguments
from db.catalog.builds import EnqueuedBuild, insert_build
from db.faults import fault_point
from db.schema.enums import BuildReason, Transition
from db.schema.revision import explaining_old_schema
from worker.broker.ringer import Ring, ring_later

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger("worker")

DOORBELLS = "provisionerd.doorbells"

Carrier = Mapping[str, str]
"""A W3C trace context, as the job row stores it."""


class EnqueueTracer(Protocol):
    """Traces the enqueueing of builds."""

    def enqueue(self, transition: Transition) -> AbstractContextManager[Carrier]:
        """Return the span of enqueueing; entering it returns the carrier for the job row."""
        ...


def enqueue_build(
    session: Session,
    *,
    workspace_id: uuid.UUID,
    transition: Transition,
    initiator_id: uuid.UUID | None = None,
    template_version_id: uuid.UUID | None = None,
    parameters: Mapping[str, str] | None = None,
    preset: uuid.UUID | str | None = None,
    reason: BuildReason = BuildReason.INITIATOR,
    trace_metadata: dict[str, Any] | None = None,
    redis_url: str | None = None,
    ring: Ring | None = None,
    tracer: EnqueueTracer | None = None,
) -> EnqueuedBuild:
    """Enqueue a build of the workspace in the caller's transaction.

    Job and build are rows of that transaction: they exist if it commits, and do not if it rolls
    back. After the commit a thread rings the queue's doorbell. The caller never waits for Redis:
    when Redis is away, the build is still accepted, and the sweeper of a worker finds it. Nothing
    is raised after the commit.

    Args:
        initiator_id: the user who asked for the build; the workspace's owner when None.
        template_version_id: the version to build from; when None, the version of the last build
            that entered apply, or else the template's active one.
        parameters: values for this build; the others keep their values from the last build that
            entered apply, or are the template's defaults.
        preset: a preset of the template version, by its id or its name; its values take precedence.
        trace_metadata: the W3C trace context of the build; when None, that of the caller's
            current OpenTelemetry span.
        redis_url: the broker; when None, ``PROVISIONERD_REDIS_URL``, else a Redis that runs in
            the data directory.
        ring: a function that rings in place of the thread; it is called after the commit, in the
            committing thread, so it should not wait.
        tracer: traces the enqueueing; when None, the caller's own OpenTelemetry does.

    Raises:
        NotFoundError: there is no such workspace, it was deleted, or it has no usable version.
        BuildActiveError: the workspace has an unfinished build.
        ConflictError: the template version cannot be built from.
        DatabaseError: the database lacks a migration that this version needs.
        ParameterValidationError: the values are not allowed; ``validations`` says why for each
            parameter. Never for a delete: what may not be chosen is left out.
        InvalidError: the version has no such preset, or an argument is of a wrong type. Before
            the first statement, so that the transaction can go on.
    """
    request = BuildArguments.check(
        workspace_id=workspace_id,
        transition=transition,
        initiator_id=initiator_id,
        template_version_id=template_version_id,
        parameters=parameters,
        preset=preset,
        reason=reason,
        trace_metadata=trace_metadata,
    )
    enter = tracer.enqueue if tracer else _caller_span
    with enter(request.transition) as carrier, explaining_old_schema():
        build = insert_build(session, **request.traced(carrier))
    ring_after_commit(session, build.queue, redis_url=redis_url, ring=ring)
    return build


@contextmanager
def _caller_span(transition: Transition) -> Iterator[Carrier]:
    """Enter a span of the caller's OpenTelemetry, if the caller's process has imported it."""
    # A process that does not trace does not pay for the import.
    if "opentelemetry.trace" not in sys.modules:
        yield {}
        return
    # If another thread is loading it, this waits: Redis's client loads it, too.
    from opentelemetry import trace  # noqa: PLC0415

    with trace.get_tracer("provisionerd").start_as_current_span(
        "enqueue build",
        kind=trace.SpanKind.PRODUCER,
        attributes={"provisionerd.transition": transition.value},
    ) as span:
        yield _carrier_of(span.get_span_context())


def _carrier_of(context: Any) -> Carrier:
    """Return a span's context in W3C's form; empty when the process does not trace."""
    if not context.is_valid:
        return {}
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header()
    return {"traceparent": parent} | ({"tracestate": state} if state else {})


def ring_after_commit(
    session: Session, queue: str, *, redis_url: str | None = None, ring: Ring | None = None
) -> None:
    """Ring the queue's doorbell when the session's transaction has been committed.

    Args:
        redis_url: as for ``enqueue_build``.
        ring: as for ``enqueue_build``.
    """
    if DOORBELLS not in session.info:
        session.info[DOORBELLS] = []
        event.listen(session, "after_commit", _ring_all)
        event.listen(session, "after_rollback", _forget_all)
    session.info[DOORBELLS].append((queue, ring or ring_later(redis_url)))


def _ring_all(session: Session) -> None:
    if session.in_nested_transaction():
        # Only a savepoint was released: no other transaction sees the rows yet.
        return
    doorbells, session.info[DOORBELLS] = session.info[DOORBELLS], []
    for queue, ring in doorbells:
        try:
            fault_point("enqueue.committed")
            ring(queue)
        except Exception:
            # The build is committed, so the call has succeeded.
            log.exception("the doorbell of queue %s was not rung; a sweeper will ring it", queue)


def _forget_all(session: Session) -> None:
    session.info[DOORBELLS] = []
