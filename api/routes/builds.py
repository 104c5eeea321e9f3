"""Builds of workspaces: enqueueing, following, canceling; their logs, parameters and states."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, WebSocket

from api.answers import Message
from api.building import chosen_version, enqueue, with_matched
from api.caller import Right
from api.errors import ApiError, conflict, forbidden, hidden, refused
from api.gate import GateOf, Visit
from api.models.requests import CreateBuild, PushState
from api.routes.finding import named_workspace, or_hidden, visible_workspace
from api.routes.joblogs import LOG_ANSWERS, Follow, answer_log, stream_log
from api.routes.paging import Paged
from db.catalog.audit import AuditAction
from db.catalog.orphans import orphan_workspace
from db.catalog.states import push_state
from db.errors import ConflictError, InvalidError, NotFoundError
from db.jobs.transitions import cancel_job
from db.reads.builds import find_build_id, find_parameters, get_build, get_builds
from db.reads.contract import (
    ProvisionerJobTimings,
    WorkspaceBuild,
    WorkspaceResource,
)
from db.reads.machines import WorkspaceRow
from db.reads.shapes import NameValue
from db.reads.states import find_build_state
from db.reads.timings import get_timings
from db.schema.enums import BuildReason, JobStatus, TokenScope, Transition

router = APIRouter(prefix="/api/v2", tags=["builds"])
MAX_BUILDS = 1000
ACTIONS = {
    Transition.START: AuditAction.START,
    Transition.STOP: AuditAction.STOP,
    Transition.DELETE: AuditAction.DELETE,
}


@router.get("/workspaces/{workspace}/builds")
def list_builds(
    gate: GateOf,
    workspace: uuid.UUID,
    page: Paged,
    since: Annotated[datetime | None, Query(description="only builds enqueued later")] = None,
) -> list[WorkspaceBuild]:
    """List the builds of a workspace, newest first."""
    with gate.enter() as visit:
        visible_workspace(visit, workspace)
        before = _number_of(visit, workspace, page.after_id) if page.after_id else None
        wanted = min(page.limit or MAX_BUILDS, MAX_BUILDS)
        builds = get_builds(
            visit.session,
            workspace,
            limit=min(wanted + page.offset, MAX_BUILDS) or 1,
            before=before,
        )
        # Clients that want all builds send the year 1, maybe without a zone.
        after = since and (since if since.tzinfo else since.replace(tzinfo=UTC))
        return [build for build in builds[page.offset :] if not after or build.created_at > after]


def _number_of(visit: Visit, workspace_id: uuid.UUID, build_id: uuid.UUID) -> int:
    """Return the number of a build; 0, which none comes before, if it is not the workspace's."""
    try:
        build = get_build(visit.session, build_id)
    except NotFoundError:
        return 0
    return build.build_number if build.workspace_id == workspace_id else 0


@router.get("/users/{user}/workspace/{name}/builds/{number}")
def read_numbered_build(gate: GateOf, user: str, name: str, number: str) -> WorkspaceBuild:
    """Return a build of a workspace by its number."""
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise refused(f'Failed to parse build number "{number[:50]}" as an integer.')
    with gate.enter() as visit:
        row = named_workspace(visit, user, name)
        with or_hidden():
            build_id = find_build_id(visit.session, row.workspace.id, int(number))
        return get_build(visit.session, build_id)


@router.post("/workspaces/{workspace}/builds", status_code=201)
def add_build(gate: GateOf, workspace: uuid.UUID, body: CreateBuild) -> WorkspaceBuild:
    """Enqueue a build: a start, a stop or a delete."""
    with gate.enter(TokenScope.BUILD) as visit:
        row = buildable_workspace(visit, workspace, body.transition)
        _check_form(body)
        _check_custom_state(visit, row, body)
        if row.deleted:
            # As with Coder this is not an error. Nothing is left to do: the last delete answers.
            return get_build(visit.session, row.workspace.latest_build.id)
        build_id = _orphan(visit, row) if body.orphan else _enqueue(visit, row, body)
        return with_matched(visit, get_build(visit.session, build_id))


def buildable_workspace(
    visit: Visit, workspace_id: uuid.UUID, transition: Transition
) -> WorkspaceRow:
    """Return a workspace that the caller may build.

    Raises:
        ApiError: the caller may not, or the workspace was deleted and this is not a delete.
    """
    row = visible_workspace(visit, workspace_id)
    found = row.workspace
    is_own = found.owner_id == visit.caller.user_id
    if not is_own and not visit.caller.may(Right.BUILD_WORKSPACES, found.organization_id):
        raise forbidden(f"You do not have permission to {transition} this workspace.")
    if row.deleted and transition is not Transition.DELETE:
        raise conflict(f"Cannot {transition} a deleted workspace!")
    return row


def _check_form(body: CreateBuild) -> None:
    if body.log_level:
        raise refused("Terraform debug mode is disabled in the deployment configuration.")
    if body.orphan and body.transition is not Transition.DELETE:
        raise refused("Orphan is only permitted when deleting a workspace.")
    if body.orphan and body.state:
        raise refused(
            "ProvisionerState cannot be set alongside Orphan since state intent is unclear."
        )


def _check_custom_state(visit: Visit, row: WorkspaceRow, body: CreateBuild) -> None:
    if (body.state or body.orphan) and not may_write_state(visit, row):
        raise ApiError(403, "Only template managers may provide custom state")


def may_write_state(visit: Visit, row: WorkspaceRow) -> bool:
    """Return whether the caller may see and replace the states of a workspace."""
    has_scope = visit.caller.scope.includes(TokenScope.OPERATE)
    return has_scope and visit.caller.may(Right.WRITE_TEMPLATES, row.workspace.organization_id)


def _orphan(visit: Visit, row: WorkspaceRow) -> uuid.UUID:
    orphaned = orphan_workspace(visit.session, workspace_id=row.workspace.id, actor=visit.actor)
    assert orphaned.build is not None, "a workspace that is shown has a build"
    return orphaned.build.build_id


def _enqueue(visit: Visit, row: WorkspaceRow, body: CreateBuild) -> uuid.UUID:
    found = row.workspace
    version_id = chosen_version(visit, found.template_id, body)
    if body.state:
        _push(visit, row, body.state)
    build = enqueue(
        visit,
        workspace_id=found.id,
        transition=body.transition,
        template_version_id=version_id,
        values=body,
        reason=body.reason or BuildReason.INITIATOR,
    )
    visit.audit(
        ACTIONS[body.transition],
        organization_id=found.organization_id,
        resource=("workspace", found.id, f"{found.owner_name}/{found.name}"),
        facts={"build_number": build.build_number},
    )
    return build.build_id


def _push(visit: Visit, row: WorkspaceRow, state: bytes) -> None:
    try:
        push_state(
            visit.session,
            workspace_id=row.workspace.id,
            data=state,
            actor=visit.actor,
            force=True,
        )
    except InvalidError as error:
        raise refused("The state cannot be read.", str(error), field="state") from error


@router.get("/workspacebuilds/{build}")
def read_build(gate: GateOf, build: uuid.UUID) -> WorkspaceBuild:
    """Return a build, also of a deleted workspace."""
    with gate.enter() as visit:
        return _visible(visit, build)[0]


def _visible(visit: Visit, build_id: uuid.UUID) -> tuple[WorkspaceBuild, WorkspaceRow]:
    with or_hidden():
        build = get_build(visit.session, build_id)
    return build, visible_workspace(visit, build.workspace_id)


@router.patch("/workspacebuilds/{build}/cancel")
def cancel_build(gate: GateOf, build: uuid.UUID, expect_status: str = "") -> Message:
    """Cancel a build: at once while it waits, or as soon as its worker can stop it cleanly."""
    if expect_status not in {"", "running", "pending"}:
        raise refused(
            "Invalid expect_status. Only 'running' or 'pending' are allowed.",
            field="expect_status",
        )
    with gate.enter(TokenScope.BUILD) as visit:
        found, row = _visible(visit, build)
        check_cancel(visit, row)
        if expect_status and found.job.status != expect_status:
            raise ApiError(412, "Job is not in the expected state.")
        cancel(visit, found.job.id)
        visit.audit(
            AuditAction.CANCEL,
            organization_id=row.workspace.organization_id,
            resource=("workspace_build", found.id, f"{found.workspace_name}/{found.build_number}"),
        )
        return Message(message="Job has been marked as canceled...")


def check_cancel(visit: Visit, row: WorkspaceRow) -> None:
    """Refuse a caller who may not cancel builds of the workspace.

    Raises:
        ApiError: the caller may not.
    """
    found = row.workspace
    if visit.caller.may(Right.BUILD_WORKSPACES, found.organization_id):
        return
    is_own = found.owner_id == visit.caller.user_id
    if not is_own or not found.template_allow_user_cancel_workspace_jobs:
        raise ApiError(
            403, "User is not allowed to cancel workspace builds. Owner role is required."
        )


def cancel(visit: Visit, job_id: uuid.UUID) -> JobStatus:
    """Cancel a job.

    Raises:
        ApiError: it has ended, or is canceled already.
    """
    try:
        return cancel_job(visit.session, job_id=job_id)
    except ConflictError as error:
        raise refused(str(error)) from error


@router.get("/workspacebuilds/{build}/parameters")
def read_parameters(gate: GateOf, build: uuid.UUID) -> list[NameValue]:
    """Return the values of a build's parameters."""
    with gate.enter() as visit:
        found, _row = _visible(visit, build)
        values = find_parameters(visit.session, found.id)
        return [NameValue(name=name, value=value) for name, value in values.items()]


@router.get("/workspacebuilds/{build}/resources")
def read_resources(gate: GateOf, build: uuid.UUID) -> list[WorkspaceResource]:
    """Return the resources that a build left."""
    with gate.enter() as visit:
        return _visible(visit, build)[0].resources


@router.get("/workspacebuilds/{build}/timings")
def read_build_timings(gate: GateOf, build: uuid.UUID) -> ProvisionerJobTimings:
    """Return how long the steps of a build took."""
    with gate.enter() as visit:
        return get_timings(visit.session, _visible(visit, build)[0].job.id)


@router.get(
    "/workspacebuilds/{build}/state",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}}},
)
def read_state(gate: GateOf, build: uuid.UUID) -> Response:
    """Return the Terraform state of a build; empty if there is none."""
    with gate.enter() as visit:
        found, row = _visible(visit, build)
        if not may_write_state(visit, row):
            raise hidden()
        data = find_build_state(visit.session, found.id)
        return Response(data or b"", media_type="application/json")


@router.put("/workspacebuilds/{build}/state", status_code=204)
def write_state(gate: GateOf, build: uuid.UUID, body: PushState) -> None:
    """Replace the state of a workspace's latest build, without a build."""
    with gate.enter(TokenScope.BUILD) as visit:
        found, row = _visible(visit, build)
        if not may_write_state(visit, row):
            raise hidden()
        if row.workspace.latest_build.id != found.id:
            raise refused("Only the state of the latest build can be replaced.")
        _push(visit, row, body.state)


@router.get("/workspacebuilds/{build}/logs", responses=LOG_ANSWERS)
def read_build_log(gate: GateOf, request: Request, build: uuid.UUID, following: Follow) -> Response:
    """Return a build's log: a list, text, or server-sent events."""
    return answer_log(gate, request, following, lambda visit: _visible(visit, build)[0].job.id)


@router.websocket("/workspacebuilds/{build}/logs")
async def follow_build_log(gate: GateOf, websocket: WebSocket, build: str) -> None:
    """Send a build's log line by line until the build has ended."""
    await stream_log(gate, websocket, build, lambda visit, id_: _visible(visit, id_)[0].job.id)
