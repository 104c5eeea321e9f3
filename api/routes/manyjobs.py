"""Canceling and retrying many jobs in one request, each in a transaction of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar

from fastapi import APIRouter
from pydantic import Field

from api.errors import ApiError
from api.gate import Gate, GateOf, Visit
from api.models.fields import RequestModel
from api.routes.operating import CanceledJob, cancel_job
from api.routes.operations import retry_job, visible_job
from db.errors import RequestError
from db.reads.contractbase import ContractModel
from db.reads.jobs import Job, get_job
from db.schema.enums import TokenScope, Transition

Done = TypeVar("Done")
MAX_JOBS = 100  #: of one request
router = APIRouter(prefix="/api/v2/provisionerd/jobs", tags=["command line"])


class Jobs(RequestModel):
    """The jobs to change."""

    ids: list[uuid.UUID] = Field(min_length=1, max_length=MAX_JOBS)


class Refusal(ContractModel):
    """A job that was left as it is, and why."""

    id: uuid.UUID
    reason: str


class RetriedJob(ContractModel):
    """A new build, and the job whose build it repeats."""

    id: uuid.UUID = Field(description="the new job")
    retried_job_id: uuid.UUID
    workspace: str = Field(description="OWNER/NAME")
    transition: Transition
    build_number: int


class CanceledJobs(ContractModel):
    """The jobs that were canceled, and those that were not."""

    done: list[CanceledJob]
    refused: list[Refusal]


class RetriedJobs(ContractModel):
    """The builds that were enqueued again, and the jobs that were left as they are."""

    done: list[RetriedJob]
    refused: list[Refusal]


@router.post("/cancel")
def cancel_many(gate: GateOf, body: Jobs) -> CanceledJobs:
    """Cancel jobs. A refusal changes nothing for the others."""
    done, refused = _each(gate, body.ids, cancel_job)
    return CanceledJobs(done=done, refused=refused)


@router.post("/retry")
def retry_many(gate: GateOf, body: Jobs) -> RetriedJobs:
    """Enqueue the builds of failed or canceled jobs again, as the route for one does."""
    done, refused = _each(gate, body.ids, _retry)
    return RetriedJobs(done=done, refused=refused)


def _retry(visit: Visit, job: Job) -> RetriedJob:
    wanted, build = retry_job(visit, job)
    return RetriedJob(
        id=build.job_id,
        retried_job_id=job.id,
        workspace=wanted.workspace,
        transition=wanted.transition,
        build_number=build.build_number,
    )


def _each(
    gate: Gate, ids: Sequence[uuid.UUID], act: Callable[[Visit, Job], Done]
) -> tuple[list[Done], list[Refusal]]:
    with gate.enter(TokenScope.BUILD):  # also if each job is refused
        done: list[Done] = []
    refused: list[Refusal] = []
    for job_id in dict.fromkeys(ids):
        try:
            with gate.enter(TokenScope.BUILD) as visit:
                done.append(act(visit, _seen(visit, job_id)))
        except (ApiError, RequestError) as error:
            refused.append(Refusal(id=job_id, reason=_reason(job_id, error)))
    return done, refused


def _seen(visit: Visit, job_id: uuid.UUID) -> Job:
    found = get_job(visit.session, job_id)
    return visible_job(visit, str(found.organization_id), job_id)


def _reason(job_id: uuid.UUID, error: ApiError | RequestError) -> str:
    if isinstance(error, RequestError):
        return str(error)
    if error.status == 404:
        return f"there is no job {job_id}"
    return str(error.__cause__ or error.detail or error.message)
