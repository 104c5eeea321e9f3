"""The listeners to this worker's moves: metrics, traces, the log, the doorbell."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from db.jobs.mover import Listener
from db.jobs.moves import Moved, Verb
from db.schema.enums import JobStatus
from worker.broker.ringer import Ring
from worker.metrics.series import Metrics
from worker.tracing.traces import BuildTracer

log = structlog.get_logger("worker")

EVENTS = {
    Verb.CLAIM: "job.claimed",
    Verb.REQUEUE: "job.requeued",
    Verb.EXPIRE: "job.expired",
    Verb.ORPHAN: "job.orphaned",
}


def move_listeners(
    *, metrics: Metrics, ring: Ring, tracer: BuildTracer | None = None
) -> Sequence[Listener]:
    """Return the listeners of a worker's moves.

    Args:
        tracer: traces the builds that this process runs; None if it runs none.
    """

    def ring_again(moved: Moved) -> None:
        if moved.move.after is JobStatus.PENDING:
            ring(moved.queue)

    traces = [tracer.moved] if tracer else []
    return (metrics.job_moved, *traces, log_move, log_circuits, ring_again)


def log_move(moved: Moved) -> None:
    """Write the move to the daemon's log, as a warning if no worker finished the job."""
    if moved.worker_was_lost:
        event, write = "job.reaped", log.warning
    else:
        event = EVENTS.get(moved.move.verb, "job.ended")
        write = log.warning if moved.move.verb is Verb.EXPIRE else log.info
    write(event, **_facts(moved))


def log_circuits(moved: Moved) -> None:
    """Write to the daemon's log which circuits of the build's version opened or closed."""
    facts = {"job_id": str(moved.job_id), "template": moved.template_name}
    for reason in moved.opened_circuits:
        log.warning("circuit.opened", reason=reason, **facts)
    for reason in moved.closed_circuits:
        log.info("circuit.closed", reason=reason, **facts)


def _facts(moved: Moved) -> dict[str, object]:
    facts = {
        "job_id": str(moved.job_id),
        "attempt": moved.attempt,
        "drains": moved.drains or None,
        "queue": moved.queue,
        "status": moved.move.after.value,
        "stage": moved.stage,
        "age_s": round(moved.age_s, 3),
        "seconds": None if moved.seconds is None else round(moved.seconds, 3),
        "error": moved.error,
        "error_code": moved.error_code,
    }
    return {name: value for name, value in facts.items() if value is not None}
