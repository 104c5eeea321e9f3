"""The settings of workspaces: names, favorites, schedules, dormancy."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.exc import IntegrityError

from api.answers import Message
from api.caller import Right
from api.errors import ApiError, conflict, forbidden, refused
from api.gate import GateOf, Visit
from api.models.requests import Dormancy, EditWorkspace, Extension, Schedule, TimeToLive, Updates
from api.routes.finding import visible_workspace
from db.catalog import workspaces as catalog
from db.catalog.audit import AuditAction
from db.catalog.deadlines import end_deadline, extend_deadline
from db.catalog.names import check_name
from db.catalog.schedules import check_schedule, check_ttl_ms
from db.errors import InvalidError
from db.reads.machines import WorkspaceRow
from db.schema.enums import TokenScope

router = APIRouter(prefix="/api/v2", tags=["workspaces"])


@router.patch("/workspaces/{workspace}", status_code=204)
def rename(gate: GateOf, workspace: uuid.UUID, body: EditWorkspace) -> None:
    """Give a workspace another name."""
    with gate.enter(TokenScope.BUILD) as visit:
        row = own_workspace(visit, workspace)
        old = row.workspace.name
        if row.deleted:
            raise ApiError(405, f'Workspace "{old}" is deleted and cannot be updated.')
        if body.name in {"", old}:
            return
        try:
            _update(visit, row, {"name": check_name("workspace", body.name)}, old={"name": old})
        except InvalidError as error:
            raise refused("Validation failed.", str(error), field="name") from error
        except IntegrityError as error:
            message = f'Workspace "{body.name}" already exists.'
            raise conflict(message, field="name") from error


@router.put("/workspaces/{workspace}/favorite", status_code=204)
def favor(gate: GateOf, workspace: uuid.UUID) -> None:
    """List the workspace before others."""
    _store(gate, workspace, "favorite", value=True)


@router.delete("/workspaces/{workspace}/favorite", status_code=204)
def unfavor(gate: GateOf, workspace: uuid.UUID) -> None:
    """List the workspace like others."""
    _store(gate, workspace, "favorite", value=False)


def _store(gate: GateOf, workspace: uuid.UUID, column: str, *, value: object) -> None:
    with gate.enter(TokenScope.BUILD) as visit:
        row = own_workspace(visit, workspace)
        _update(visit, row, {column: value}, old={column: getattr(row.workspace, column)})


@router.put("/workspaces/{workspace}/autostart", status_code=204)
def set_autostart(gate: GateOf, workspace: uuid.UUID, body: Schedule) -> None:
    """Store when the workspace should start; nothing acts on it here."""
    _store(gate, workspace, "autostart_schedule", value=schedule_of(body.schedule))


def schedule_of(given: str | None) -> str | None:
    """Return the schedule of automatic starts as it is stored.

    Raises:
        ApiError: it is not one.
    """
    try:
        return check_schedule(given) if given else None
    except InvalidError as error:
        raise refused("Invalid Autostart Schedule.", str(error), field="schedule") from error


def ttl_of(given_ms: int | None) -> int | None:
    """Return the time to live in nanoseconds, as it is stored.

    Raises:
        ApiError: it is too short.
    """
    try:
        ttl_ms = check_ttl_ms(given_ms)
    except InvalidError as error:
        raise refused("Invalid Workspace Time to Shutdown.", str(error), field="ttl_ms") from error
    return ttl_ms * 1_000_000 if ttl_ms else None


@router.put("/workspaces/{workspace}/ttl", status_code=204)
def set_ttl(gate: GateOf, workspace: uuid.UUID, body: TimeToLive) -> None:
    """Store how long the workspace runs after its next start; no time also ends its deadline."""
    with gate.enter(TokenScope.BUILD) as visit:
        row = own_workspace(visit, workspace)
        ttl = ttl_of(body.ttl_ms)
        _update(visit, row, {"ttl": ttl}, old={"ttl_ms": row.workspace.ttl_ms})
        if ttl is None:
            end_deadline(visit.session, workspace)


@router.put("/workspaces/{workspace}/autoupdates", status_code=204)
def set_updates(gate: GateOf, workspace: uuid.UUID, body: Updates) -> None:
    """Say whether clients should build from the template's active version."""
    _store(gate, workspace, "automatic_updates", value=body.automatic_updates)


@router.put("/workspaces/{workspace}/dormant", responses={304: {"description": "it already is"}})
def set_dormant(gate: GateOf, workspace: uuid.UUID, body: Dormancy) -> Response:
    """Mark a workspace as dormant, or as used again."""
    with gate.enter(TokenScope.BUILD) as visit:
        row = own_workspace(visit, workspace)
        dormant_at = row.workspace.dormant_at
        if (dormant_at is not None) == body.dormant:
            return Response(status_code=304)
        now = datetime.now().astimezone() if body.dormant else None
        _update(visit, row, {"dormant_at": now}, old={"dormant": dormant_at is not None})
        found = visible_workspace(visit, workspace).workspace
        return Response(found.model_dump_json(), media_type="application/json")


@router.put("/workspaces/{workspace}/extend")
def extend(gate: GateOf, workspace: uuid.UUID, body: Extension) -> Message:
    """Let a running workspace run until another time."""
    with gate.enter(TokenScope.BUILD) as visit:
        row = own_workspace(visit, workspace)
        old = row.workspace.latest_build.deadline
        try:
            extend_deadline(visit.session, workspace, body.deadline)
        except InvalidError as error:
            raise refused("Cannot extend workspace.", str(error), field="deadline") from error
        _audit(visit, row, {"deadline": {"old": str(old), "new": str(body.deadline)}})
        return Message(message=f"Deadline updated to {body.deadline.isoformat()}.")


def own_workspace(visit: Visit, workspace_id: uuid.UUID) -> WorkspaceRow:
    """Return a workspace that the caller may change.

    Raises:
        ApiError: there is none, or the caller may only see it.
    """
    row = visible_workspace(visit, workspace_id)
    found = row.workspace
    is_own = found.owner_id == visit.caller.user_id
    if not is_own and not visit.caller.may(Right.BUILD_WORKSPACES, found.organization_id):
        raise forbidden("You do not have permission to update this workspace.")
    return row


def _update(
    visit: Visit, row: WorkspaceRow, changes: Mapping[str, Any], *, old: Mapping[str, object]
) -> None:
    found = row.workspace
    with visit.session.begin_nested():
        catalog.edit_workspace(visit.session, found.id, changes)
    new = list(changes.values())
    diff = {
        name: {"old": value, "new": str(new[position]) if new[position] is not None else None}
        for position, (name, value) in enumerate(old.items())
    }
    _audit(visit, row, diff)


def _audit(visit: Visit, row: WorkspaceRow, diff: Mapping[str, object]) -> None:
    found = row.workspace
    visit.audit(
        AuditAction.WRITE,
        organization_id=found.organization_id,
        resource=("workspace", found.id, f"{found.owner_name}/{found.name}"),
        diff=diff,
    )
