"""What operators change, and Coder has no routes for: queues, workers, limits, jobs of any kind.

Queues, workers and limits serve all organizations, so these routes need rights in the whole site.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from api.caller import Right
from api.errors import forbidden
from api.gate import Gate, GateOf, Visit
from api.models.fields import RequestModel
from api.routes.builds import check_cancel
from api.routes.finding import visible_workspace
from api.routes.operations import visible_job
from db.catalog.cancellations import cancel_by_hand
from db.catalog.drains import drain_worker, forget_worker, resume_worker
from db.catalog.limits import MOST_ALLOWED, Limit, change_limit
from db.catalog.pauses import MAX_REASON, pause_queue, resume_queue
from db.reads.contractbase import ContractModel
from db.reads.jobs import Job
from db.schema.enums import JobStatus, TokenScope

router = APIRouter(prefix="/api/v2", tags=["operations"])


class Pause(RequestModel):
    """Why a queue is paused."""

    reason: Annotated[str, StringConstraints(max_length=MAX_REASON)] = ""


class NewLimit(RequestModel):
    """How many there may be; null: any number."""

    allowed: Annotated[int, Field(ge=0, le=MOST_ALLOWED)] | None


class Drained(ContractModel):
    """The builds that a drained worker still runs."""

    builds: int


class ChangedLimit(ContractModel):
    """A limit, and what it was before; absent: any number."""

    name: Limit
    allowed: int | None = None
    before: int | None = None


class CanceledJob(ContractModel):
    """A canceled job, and its status now."""

    id: uuid.UUID
    status: JobStatus


@router.post("/queues/{queue}/pause", status_code=204)
def pause(gate: GateOf, queue: str, body: Pause) -> None:
    """Pause a queue: no worker claims its jobs until it is resumed. Jobs that run go on."""
    with _operating(gate, "pause queues") as visit:
        pause_queue(visit.session, queue, actor=visit.actor, reason=body.reason)


@router.post("/queues/{queue}/resume", status_code=204)
def resume(gate: GateOf, queue: str) -> None:
    """Let workers claim the jobs of a queue again."""
    with _operating(gate, "resume queues") as visit:
        resume_queue(visit.session, queue, actor=visit.actor)


@router.post("/workers/{worker}/drain")
def drain(gate: GateOf, worker: str) -> Drained:
    """Let a worker, by its name or ID, claim no more jobs; those that it runs go on."""
    with _operating(gate, "drain workers") as visit:
        return Drained(builds=drain_worker(visit.session, worker, actor=visit.actor))


@router.post("/workers/{worker}/resume", status_code=204)
def resume_drained(gate: GateOf, worker: str) -> None:
    """Let a drained worker claim jobs again."""
    with _operating(gate, "resume workers") as visit:
        resume_worker(visit.session, worker, actor=visit.actor)


@router.delete("/workers/{worker}", status_code=204)
def forget(gate: GateOf, worker: str) -> None:
    """Remove a worker that is gone from the list of workers."""
    with _operating(gate, "remove workers") as visit:
        forget_worker(visit.session, worker, actor=visit.actor)


@router.put("/limits/{limit}")
def write_limit(gate: GateOf, limit: Limit, body: NewLimit) -> ChangedLimit:
    """Change how many builds or workspaces one owner or chat may have. What exists is kept."""
    with gate.enter(TokenScope.ADMIN) as visit:
        if not visit.caller.may_everywhere(Right.ADMINISTER):
            raise forbidden("Only owners change limits.")
        before = change_limit(visit.session, limit, body.allowed, actor=visit.actor)
        return ChangedLimit(name=limit, allowed=body.allowed, before=before)


@router.post("/organizations/{organization}/provisionerjobs/{job}/cancel")
def cancel(gate: GateOf, organization: str, job: uuid.UUID) -> CanceledJob:
    """Cancel a job: at once while it waits, or as soon as its worker can stop it cleanly."""
    with gate.enter(TokenScope.BUILD) as visit:
        return cancel_job(visit, visible_job(visit, organization, job))


def cancel_job(visit: Visit, job: Job) -> CanceledJob:
    """Cancel a job that the caller sees.

    Raises:
        ApiError: the caller may not cancel it.
        ConflictError: it has ended, or is canceled already.
    """
    if job.workspace_id is not None:
        check_cancel(visit, visible_workspace(visit, job.workspace_id))
    elif not visit.caller.may(Right.OPERATE_JOBS, job.organization_id):
        raise forbidden("Only template admins cancel imports.")
    status = cancel_by_hand(visit.session, job.id, actor=visit.actor)
    return CanceledJob(id=job.id, status=status)


@contextmanager
def _operating(gate: Gate, verb: str) -> Iterator[Visit]:
    with gate.enter(TokenScope.OPERATE) as visit:
        if not visit.caller.may_everywhere(Right.OPERATE_JOBS):
            raise forbidden(f"Only template admins of the whole site {verb}.")
        yield visit
