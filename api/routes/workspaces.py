"""Workspaces: finding and creating them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from api.building import enqueue, usable_version, with_matched
from api.caller import Caller, Right
from api.errors import ApiError, conflict, refused
from api.gate import GateOf, Visit
from api.models.requests import (
    CreateWorkspace,
)
from api.routes.finding import (
    ME,
    named_workspace,
    user_id_of,
    visible_organization,
    visible_template,
    visible_version,
    visible_workspace,
)
from api.routes.paging import Paged, Search, terms_of
from api.routes.workspacesettings import own_workspace, schedule_of, ttl_of
from db.catalog import workspaces as catalog
from db.catalog.audit import AuditAction
from db.catalog.deadlines import bump_activity
from db.errors import (
    ConflictError,
    InvalidError,
    LimitReachedError,
    OwnerInactiveError,
    TemplateDeprecatedError,
)
from db.reads.accounts import EVERYTHING, as_uuid
from db.reads.contract import ProvisionerJobTimings, WorkspaceStatus
from db.reads.machines import WorkspaceFilter, find_workspaces
from db.reads.shapes import Template, Workspace, Workspaces
from db.reads.timings import get_timings
from db.schema.enums import TokenScope, Transition
from db.schema.roles import OrganizationRole
from db.schema.tables import Template as TemplateRow
from db.schema.tables import User as UserRow

router = APIRouter(prefix="/api/v2", tags=["workspaces"])
KNOWN_TERMS = {
    "owner", "name", "template", "status", "organization", "id", "has-agent", "healthy", "dormant",
    "outdated", "last_used_after", "last_used_before", "shared", "shared_with_user",
    "shared_with_group", "has-ai-task", "has_external_agent", "is-dormant", "deleted", "param",
}  # fmt: skip
WithDeleted = Annotated[bool, Query(alias="include_deleted")]


@router.get("/workspaces")
def list_workspaces(gate: GateOf, page: Paged, q: Search = "") -> Workspaces:
    """List the workspaces that the caller may see; those that were deleted are left out."""
    terms = terms_of(q, known=KNOWN_TERMS, bare="name")
    with gate.enter() as visit:
        if _asks_for_nothing(terms):
            return Workspaces(workspaces=[], count=0)
        found, count = find_workspaces(
            visit.session,
            _filter(visit.caller, terms),
            favorites_of=visit.caller.user_id,
            limit=page.limit or EVERYTHING,
            offset=page.offset,
        )
        return Workspaces(workspaces=found, count=count)


def _asks_for_nothing(terms: Mapping[str, str]) -> bool:
    """Return whether only workspaces with what is not here are wanted: shares, running agents."""
    return (
        "shared_with_user" in terms
        or "shared_with_group" in terms
        or bool(_truth(terms.get("shared"), "shared"))
        or _truth(terms.get("healthy"), "healthy") is False
        or terms.get("has-agent") == "connected"
    )


def _filter(caller: Caller, terms: Mapping[str, str]) -> WorkspaceFilter:
    owner, name, exact_name = terms.get("owner"), terms.get("name"), None
    if name and "/" in name:
        owner, _, exact_name = name.partition("/")
        name = None
    parameter, has_value, value = terms.get("param", "").partition("=")
    return WorkspaceFilter(
        organizations=caller.organizations_with(Right.READ_WORKSPACES),
        seen_by=caller.user_id,
        owner=caller.username if owner == ME else owner,
        name=name,
        exact_name=exact_name,
        template=terms.get("template"),
        organization=terms.get("organization"),
        status=_status(terms["status"]) if "status" in terms else None,
        ids=_ids(terms.get("id")),
        outdated=_truth(terms.get("outdated"), "outdated"),
        dormant=bool(_truth(terms.get("dormant") or terms.get("is-dormant"), "dormant")),
        used_after=_time(terms.get("last_used_after"), "last_used_after"),
        used_before=_time(terms.get("last_used_before"), "last_used_before"),
        has_ai_task=_truth(terms.get("has-ai-task"), "has-ai-task"),
        has_external_agent=_truth(terms.get("has_external_agent"), "has_external_agent"),
        parameter=parameter or None,
        parameter_value=value if has_value else None,
    )


def _status(given: str) -> WorkspaceStatus:
    try:
        return WorkspaceStatus(given)
    except ValueError as error:
        raise refused(
            "Invalid workspace search query.", f"{given!r} is not a status", field="status"
        ) from error


def _ids(given: str | None) -> list[uuid.UUID]:
    if given is None:
        return []
    ids = [as_uuid(part) for part in given.split(",")]
    if None in ids:
        raise refused("Invalid workspace search query.", f"{given!r} is not a UUID", field="id")
    return [id_ for id_ in ids if id_ is not None]


def _time(given: str | None, field: str) -> datetime | None:
    if given is None:
        return None
    try:
        time = datetime.fromisoformat(given.upper())
    except ValueError as error:
        detail = f"{given!r} is not a time in RFC 3339"
        raise refused("Invalid workspace search query.", detail, field=field) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _truth(given: str | None, field: str) -> bool | None:
    if given not in {None, "true", "false"}:
        raise refused("Invalid workspace search query.", f"{given!r} is not a bool", field=field)
    return None if given is None else given == "true"


@router.get("/workspaces/{workspace}", responses={410: {"description": "it was deleted"}})
def read_workspace(
    gate: GateOf, workspace: uuid.UUID, *, with_deleted: WithDeleted = False
) -> Workspace:
    """Return a workspace by id."""
    with gate.enter() as visit:
        row = visible_workspace(visit, workspace)
        if row.deleted and not with_deleted:
            raise ApiError(
                410,
                f'Workspace "{workspace}" was deleted, you can view this workspace by specifying'
                ' "?include_deleted=true" and trying again.',
            )
        return row.workspace


@router.get("/users/{user}/workspace/{name}")
def read_named_workspace(
    gate: GateOf, user: str, name: str, *, with_deleted: WithDeleted = False
) -> Workspace:
    """Return a user's workspace by name."""
    with gate.enter() as visit:
        return named_workspace(visit, user, name, with_deleted=with_deleted).workspace


@router.post("/users/{user}/workspaces", status_code=201)
def add_workspace(gate: GateOf, user: str, body: CreateWorkspace) -> Workspace:
    """Create a workspace and enqueue its first build, a start."""
    with gate.enter(TokenScope.BUILD) as visit:
        return _create(visit, user, body)


@router.post("/organizations/{organization}/members/{user}/workspaces", status_code=201)
def add_workspace_of_member(
    gate: GateOf, organization: str, user: str, body: CreateWorkspace
) -> Workspace:
    """Create a workspace, as the other route does."""
    with gate.enter(TokenScope.BUILD) as visit:
        visible_organization(visit, organization)
        return _create(visit, user, body)


def _create(visit: Visit, user: str, body: CreateWorkspace) -> Workspace:
    template, version_id = _source(visit, body)
    owner_id = user_id_of(visit, user)
    _check_creation(visit.caller, owner_id, template)
    owner = visit.session.get_one(UserRow, owner_id)
    if version_id is not None:
        usable_version(visit, version_id, template_id=template.id)
    try:
        made = catalog.create_workspace(
            visit.session,
            owner=owner,
            template=visit.session.get_one(TemplateRow, template.id),
            name=body.name,
        )
    except InvalidError as error:
        raise refused("Validation failed.", str(error), field="name") from error
    except TemplateDeprecatedError as error:
        raise refused(str(error)) from error
    except (LimitReachedError, OwnerInactiveError):
        raise
    except ConflictError as error:
        message = f'Workspace "{body.name}" already exists.'
        raise conflict(message, field="name", detail=str(error)) from error
    made.autostart_schedule = schedule_of(body.autostart_schedule)
    if body.ttl_ms is not None:
        made.ttl = ttl_of(body.ttl_ms)
    if body.automatic_updates is not None:
        made.automatic_updates = body.automatic_updates
    visit.session.flush()
    enqueue(
        visit,
        workspace_id=made.id,
        transition=Transition.START,
        template_version_id=version_id,
        values=body,
    )
    visit.audit(
        AuditAction.CREATE,
        organization_id=template.organization_id,
        resource=("workspace", made.id, f"{owner.username}/{made.name}"),
    )
    workspace = visible_workspace(visit, made.id).workspace
    latest = with_matched(visit, workspace.latest_build)
    return workspace.model_copy(update={"latest_build": latest})


def _source(visit: Visit, body: CreateWorkspace) -> tuple[Template, uuid.UUID | None]:
    """Return the template and the version that a workspace is made from, if there is one."""
    if (body.template_id is None) == (body.template_version_id is None):
        raise refused(
            "Validation failed.",
            "Give either template_id or template_version_id.",
            field="template_id",
        )
    if body.template_version_id is not None:
        try:
            version = visible_version(visit, body.template_version_id)
        except ApiError as error:
            text = f'Template version "{body.template_version_id}" doesn\'t exist.'
            raise refused(text, field="template_version_id") from error
        return visible_template(visit, version.template_id), version.id
    assert body.template_id is not None
    try:
        template = visible_template(visit, body.template_id)
    except ApiError as error:
        text = f'Template "{body.template_id}" doesn\'t exist.'
        raise refused(text, field="template_id") from error
    return template, template.active_version_id if template.active_version_id.int else None


def _check_creation(caller: Caller, owner_id: uuid.UUID, template: Template) -> None:
    organization_id = template.organization_id
    is_banned = OrganizationRole.CREATION_BAN in caller.memberships.get(organization_id, ())
    may_for_others = caller.may(Right.BUILD_WORKSPACES, organization_id)
    if is_banned or (owner_id != caller.user_id and not may_for_others):
        raise ApiError(403, "Unauthorized to create workspace.")


@router.get("/workspaces/{workspace}/resolve-autostart")
def resolve_autostart(gate: GateOf, workspace: uuid.UUID) -> dict[str, bool]:
    """Say that an automatic start would not lack a parameter."""
    with gate.enter() as visit:
        visible_workspace(visit, workspace)
        return {"parameter_mismatch": False}


@router.get("/workspaces/{workspace}/timings")
def read_timings(gate: GateOf, workspace: uuid.UUID) -> ProvisionerJobTimings:
    """Return how long the steps of the latest build took."""
    with gate.enter() as visit:
        found = visible_workspace(visit, workspace).workspace
        return get_timings(visit.session, found.latest_build.job.id)


@router.post("/workspaces/{workspace}/usage", status_code=204)
def record_usage(gate: GateOf, workspace: uuid.UUID, _body: Annotated[Any, Body()] = None) -> None:
    """Record that the workspace is used; its deadline moves by what its template says."""
    with gate.enter(TokenScope.BUILD) as visit:
        bump_activity(visit.session, own_workspace(visit, workspace).workspace.id)
