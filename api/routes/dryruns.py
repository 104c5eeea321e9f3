"""Dry runs of template versions, which `coder create` asks for before it creates a workspace."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Request, Response, WebSocket

from api.answers import Message
from api.building import refusals
from api.errors import ApiError, hidden, refused
from api.gate import GateOf, Visit
from api.models.requests import DryRun
from api.routes.builds import buildable_workspace, cancel
from api.routes.finding import or_hidden, visible_version
from api.routes.joblogs import LOG_ANSWERS, Follow, answer_log, stream_log
from db.catalog.dryruns import existing_workspace, new_workspace
from db.catalog.sources import PlannedWorkspace
from db.reads.accounts import as_uuid
from db.reads.builds import find_resources
from db.reads.contract import MatchedProvisioners, ProvisionerJob, WorkspaceResource
from db.reads.daemons import find_matched
from db.reads.jobcontract import as_contract
from db.reads.jobs import Job, get_job
from db.reads.shapes import TemplateVersion
from db.schema.enums import JobStatus, JobType, TokenScope, Transition
from db.schema.tables import Template, User
from worker.planning import enqueue_dry_run

router = APIRouter(prefix="/api/v2/templateversions/{version}/dry-run", tags=["dry runs"])


@router.post("", status_code=201)
def add_dry_run(gate: GateOf, version: uuid.UUID, body: DryRun) -> ProvisionerJob:
    """Let a worker plan the start of a workspace. Nothing is made or charged.

    It is the next start of ``workspace_id``, or the first one of a new workspace of the caller.
    """
    with gate.enter(TokenScope.BUILD) as visit:
        found = visible_version(visit, version)
        if found.job.completed_at is None:
            raise ApiError(425, "Template version import job hasn't completed!")
        if found.job.status is not JobStatus.SUCCEEDED:
            raise refused("Template version import job has failed.")
        if not found.template_id.int:
            raise refused("Template version is not part of a template.")
        with refusals():
            run = enqueue_dry_run(
                visit.session,
                _planned(visit, found, body),
                initiator_id=visit.caller.user_id,
                template_version_id=found.id,
                parameters={given.name: given.value for given in body.rich_parameter_values},
                preset=body.template_version_preset_id,
                redis_url=visit.site.redis_url,
            )
        return as_contract(get_job(visit.session, run.job_id))


def _planned(visit: Visit, version: TemplateVersion, body: DryRun) -> PlannedWorkspace:
    if body.workspace_id is None:
        return new_workspace(
            owner=visit.session.get_one(User, visit.caller.user_id),
            template=visit.session.get_one(Template, version.template_id),
            name=body.workspace_name,
        )
    row = buildable_workspace(visit, body.workspace_id, Transition.START)
    if row.workspace.template_id != version.template_id:
        raise refused("template version doesn't match template")
    return existing_workspace(visit.session, row.workspace.id)


@router.get("/{job}")
def read_dry_run(gate: GateOf, version: uuid.UUID, job: uuid.UUID) -> ProvisionerJob:
    """Return the job of a dry run."""
    with gate.enter() as visit:
        return as_contract(_visible(visit, version, job)[0])


@router.get("/{job}/matched-provisioners")
def read_matched(gate: GateOf, version: uuid.UUID, job: uuid.UUID) -> MatchedProvisioners:
    """Return how many workers may run the dry run."""
    with gate.enter() as visit:
        found, _version = _visible(visit, version, job)
        if found.status is not JobStatus.PENDING:
            return MatchedProvisioners(count=1, available=1)
        return find_matched(visit.session, found.id)


@router.get("/{job}/resources")
def read_resources(gate: GateOf, version: uuid.UUID, job: uuid.UUID) -> list[WorkspaceResource]:
    """Return what a workspace would have."""
    with gate.enter() as visit:
        found, _version = _visible(visit, version, job)
        if found.completed_at is None:
            raise refused("Job hasn't completed!")
        return find_resources(visit.session, found.id)


@router.patch("/{job}/cancel")
def cancel_dry_run(gate: GateOf, version: uuid.UUID, job: uuid.UUID) -> Message:
    """Cancel a dry run."""
    with gate.enter(TokenScope.BUILD) as visit:
        found, _version = _visible(visit, version, job)
        try:
            cancel(visit, found.id)
        except ApiError as error:
            raise refused(error.message.replace("!", ".")) from error
        return Message(message="Job has been marked as canceled.")


@router.get("/{job}/logs", responses=LOG_ANSWERS)
def read_log(
    gate: GateOf, request: Request, version: uuid.UUID, job: uuid.UUID, following: Follow
) -> Response:
    """Return the log of a dry run: a list, text, or server-sent events."""
    return answer_log(gate, request, following, lambda visit: _visible(visit, version, job)[0].id)


@router.websocket("/{job}/logs")
async def follow_log(gate: GateOf, websocket: WebSocket, version: str, job: str) -> None:
    """Send the log of a dry run line by line until it has ended."""

    def find(visit: Visit, version_id: uuid.UUID) -> uuid.UUID:
        job_id = as_uuid(job)
        if job_id is None:
            raise hidden()
        return _visible(visit, version_id, job_id)[0].id

    await stream_log(gate, websocket, version, find)


def _visible(visit: Visit, version_id: uuid.UUID, job_id: uuid.UUID) -> tuple[Job, TemplateVersion]:
    version = visible_version(visit, version_id)
    with or_hidden():
        job = get_job(visit.session, job_id)
    is_of_version = job.input.get("template_version_id") == str(version.id)
    if job.type is not JobType.TEMPLATE_VERSION_DRY_RUN or not is_of_version:
        raise hidden()
    return job, version
