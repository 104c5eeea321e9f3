"""Routes that Coder does not have: queues, why a job waits, retries, forecasts, the audit log."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api.building import enqueue, usable_version
from api.caller import Right
from api.errors import conflict, forbidden, hidden
from api.gate import GateOf, Visit
from api.models.requests import BuildValues, GivenValue
from api.routes.finding import (
    or_hidden,
    user_id_of,
    visible_organization,
    visible_version,
    visible_workspace,
)
from api.routes.paging import Paged, Search, terms_of
from db.catalog.builds import EnqueuedBuild
from db.catalog.retries import Retry, audit_retry, find_retry
from db.reads.accounts import EVERYTHING, as_uuid
from db.reads.audit import find_audit_logs
from db.reads.builds import find_resources, get_build
from db.reads.contract import WorkspaceBuild
from db.reads.contractbase import ContractModel, UtcTime
from db.reads.explanation import match, verdict
from db.reads.jobs import Job, get_job
from db.reads.queues import queue_depths
from db.reads.shapes import AuditLog
from db.reads.workers import list_workers
from db.schema.enums import JobStatus, TokenScope, Transition
from quota.forecast import forecast_quota

router = APIRouter(prefix="/api/v2", tags=["operations"])
AUDIT_TERMS = {"username", "action", "resource_type", "resource_id", "organization"}
DEFAULT_AUDIT = 100


class Queue(ContractModel):
    """The jobs that wait in a queue, and the live workers that serve it."""

    queue: str
    depth: int = Field(description="waiting jobs, counted up to 10000")
    oldest_s: float = Field(description="age of the oldest waiting job")
    workers: int
    slots: int
    tags: dict[str, str] = Field(description="of its jobs")
    paused_at: UtcTime | None = Field(None, description="absent unless an operator has paused it")
    paused_by: str = ""
    pause_reason: str = ""


class WorkerMatch(ContractModel):
    """Whether one worker can run a job, and if not, why."""

    worker: str
    status: str
    matches: bool
    missing_tags: dict[str, str]
    reason: str


class Explanation(ContractModel):
    """Why a job waits."""

    id: uuid.UUID
    status: JobStatus
    queue: str
    tags: dict[str, str]
    queue_position: int
    queue_size: int
    verdict: str
    workers: list[WorkerMatch]


class Forecast(ContractModel):
    """What a start would cost, and whether the quota would allow it now."""

    daily_cost: int = Field(description="credits per day, with the template's default values")
    credits_consumed: int
    budget: int
    allowed: bool


class AuditLogs(ContractModel):
    """A page of the audit log."""

    audit_logs: list[AuditLog]
    count: int = Field(description="number of changes on all pages, at most 10000")


@router.get("/queues")
def list_queues(gate: GateOf) -> list[Queue]:
    """List the queues that have waiting jobs or live workers, or are paused."""
    with gate.enter() as visit:
        if not visit.caller.may_everywhere(Right.READ_JOBS):
            raise hidden()
        depths = queue_depths(visit.session, count_to=10_000)
        return [Queue.model_validate(found, from_attributes=True) for found in depths]


@router.get("/organizations/{organization}/provisionerjobs/{job}/explain")
def explain(gate: GateOf, organization: str, job: uuid.UUID) -> Explanation:
    """Say why a job waits: its position, and which workers could claim it."""
    with gate.enter() as visit:
        found = visible_job(visit, organization, job)
        matches = [match(found, worker) for worker in list_workers(visit.session)]
        return Explanation(
            id=found.id,
            status=found.status,
            queue=found.queue,
            tags=found.tags,
            queue_position=found.queue_position,
            queue_size=found.queue_size,
            verdict=verdict(found, matches),
            workers=[WorkerMatch.model_validate(one, from_attributes=True) for one in matches],
        )


@router.post("/organizations/{organization}/provisionerjobs/{job}/retry", status_code=201)
def retry(gate: GateOf, organization: str, job: uuid.UUID) -> WorkspaceBuild:
    """Enqueue the build of a failed or canceled job again, if it is the latest of its workspace.

    It has the version and the values of that build. Nothing is retried automatically: a new build
    is a decision, and it is charged like any other.
    """
    with gate.enter(TokenScope.BUILD) as visit:
        _wanted, build = retry_job(visit, visible_job(visit, organization, job))
        return get_build(visit.session, build.build_id)


def retry_job(visit: Visit, job: Job) -> tuple[Retry, EnqueuedBuild]:
    """Enqueue the build of a job again; return what was asked for, and the new build.

    Raises:
        ApiError: the caller may not build the workspace, or a value is not allowed any more.
        ConflictError: the job has not failed, or is not the latest of its workspace.
    """
    _check_retry(visit, job)
    wanted = find_retry(visit.session, job.id)
    build = enqueue(
        visit,
        workspace_id=wanted.workspace_id,
        transition=wanted.transition,
        template_version_id=wanted.template_version_id,
        values=BuildValues.model_construct(
            rich_parameter_values=[
                GivenValue.model_construct(name=name, value=value)
                for name, value in wanted.parameters.items()
            ]
        ),
    )
    audit_retry(visit.session, wanted, build, actor=visit.actor)
    return wanted, build


def _check_retry(visit: Visit, found: Job) -> None:
    if found.workspace_id is None:
        raise conflict("Only the job of a workspace build can be retried.")
    workspace = visible_workspace(visit, found.workspace_id).workspace
    is_own = workspace.owner_id == visit.caller.user_id
    if not is_own and not visit.caller.may(Right.BUILD_WORKSPACES, workspace.organization_id):
        raise forbidden("You do not have permission to build this workspace.")


def visible_job(visit: Visit, organization: str, job_id: uuid.UUID) -> Job:
    """Return a job that the caller may see: as a template admin, or of an own workspace.

    Raises:
        ApiError: there is none.
    """
    home = visible_organization(visit, organization)
    with or_hidden():
        found = get_job(visit.session, job_id)
    may_read = visit.caller.may(Right.READ_JOBS, home.id)
    if found.organization_id != home.id:
        raise hidden()
    if not may_read:
        if found.workspace_id is None:
            raise hidden()
        visible_workspace(visit, found.workspace_id)
    return found


@router.get("/organizations/{organization}/members/{user}/workspace-quota/forecast")
def forecast(
    gate: GateOf, organization: str, user: str, template_version_id: uuid.UUID
) -> Forecast:
    """Say what a start of a template version would cost, and whether the quota would allow it.

    The cost is what the import of the version planned, with the defaults of its parameters.
    """
    with gate.enter() as visit:
        home = visible_organization(visit, organization)
        user_id = user_id_of(visit, user)
        if user_id != visit.caller.user_id and not visit.caller.may(Right.READ_MEMBERS, home.id):
            raise hidden()
        version = visible_version(visit, template_version_id)
        if version.organization_id != home.id:
            raise hidden()
        usable_version(visit, version.id, template_id=version.template_id)
        resources = find_resources(visit.session, version.job.id)
        cost = sum(
            found.daily_cost
            for found in resources
            if found.workspace_transition is Transition.START
        )
        now = forecast_quota(
            visit.session, organization_id=home.id, owner_id=user_id, daily_cost=cost
        )
        return Forecast(
            daily_cost=cost,
            credits_consumed=now.credits_consumed,
            budget=now.budget,
            allowed=now.ok,
        )


@router.get("/audit")
def read_audit(
    gate: GateOf,
    page: Paged,
    q: Search = "",
    resource_id: Annotated[uuid.UUID | None, Query()] = None,
) -> AuditLogs:
    """List who changed what, the last change first. Terms: username, action, resource_type, ..."""
    terms = terms_of(q, known=AUDIT_TERMS, bare="username")
    with gate.enter() as visit:
        visible = visit.caller.organizations_with(Right.READ_AUDIT)
        if visible == []:
            raise hidden()
        if "organization" in terms:
            home = visible_organization(visit, terms["organization"])
            if visible is not None and home.id not in visible:
                raise hidden()
            visible = [home.id]
        logs, count = find_audit_logs(
            visit.session,
            organizations=visible,
            username=terms.get("username"),
            action=terms.get("action"),
            resource_type=terms.get("resource_type"),
            resource_id=resource_id or as_uuid(terms.get("resource_id", "")),
            limit=min(page.limit or DEFAULT_AUDIT, EVERYTHING),
            offset=page.offset,
        )
        return AuditLogs(audit_logs=logs, count=count)
