"""Template versions: creating them, and what their import found."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket

from api.answers import JsonAnswer, Message
from api.caller import Right
from api.errors import ApiError, conflict, forbidden, refused
from api.gate import GateOf, Visit
from api.models.requests import CreateVersion, EditVersion
from api.routes.builds import cancel
from api.routes.finding import visible_organization, visible_template, visible_version
from api.routes.joblogs import LOG_ANSWERS, Follow, answer_log, stream_log
from api.routes.templates import named_template, named_version
from db.catalog.audit import AuditAction
from db.catalog.edits import edit_version
from db.catalog.versions import NewVersion, create_version
from db.errors import ConflictError, InvalidError, NotFoundError
from db.reads.archives import may_use_file
from db.reads.builds import find_resources
from db.reads.contract import WorkspaceResource
from db.reads.daemons import find_matched
from db.reads.declared import (
    Preset,
    TemplateVersionParameter,
    TemplateVersionVariable,
    find_parameters,
    find_presets,
    find_variables,
)
from db.reads.shapes import TemplateVersion
from db.reads.versions import find_versions, get_version
from db.schema.enums import JobStatus, TokenScope
from worker.enqueue import ring_after_commit

router = APIRouter(prefix="/api/v2", tags=["template versions"])
UNFINISHED = "Template version job has not finished"


@router.post("/organizations/{organization}/templateversions", status_code=201)
def add_version(gate: GateOf, organization: str, body: CreateVersion) -> TemplateVersion:
    """Create a template version and enqueue its import."""
    with gate.enter(TokenScope.OPERATE) as visit:
        home = visible_organization(visit, organization)
        if not visit.caller.may(Right.WRITE_TEMPLATES, home.id):
            raise forbidden("Only template admins push templates.")
        if body.example_id:
            raise refused("There are no example templates here.", field="example_id")
        if body.file_id is None:
            raise refused("Validation failed.", "file_id is required.", field="file_id")
        _check_template(visit, body.template_id, home.id)
        if not may_use_file(visit.session, body.file_id, user_id=visit.caller.user_id):
            raise ApiError(404, "File not found.")
        made = _create(visit, body, home.id)
        visit.audit(
            AuditAction.CREATE,
            organization_id=home.id,
            resource=("template_version", made.id, made.name),
        )
        matched = find_matched(visit.session, made.job.id)
        return made.model_copy(update={"matched_provisioners": matched})


def _check_template(
    visit: Visit, template_id: uuid.UUID | None, organization_id: uuid.UUID
) -> None:
    if template_id is None:
        return
    try:
        template = visible_template(visit, template_id)
    except ApiError as error:
        raise ApiError(404, "Template does not exist.") from error
    if template.organization_id != organization_id:
        raise ApiError(404, "Template does not exist.")


def _create(visit: Visit, body: CreateVersion, organization_id: uuid.UUID) -> TemplateVersion:
    assert body.file_id is not None
    new = NewVersion(
        organization_id=organization_id,
        file_id=body.file_id,
        template_id=body.template_id,
        created_by=visit.caller.user_id,
        name=body.name,
        message=body.message,
        provisioner=body.provisioner,
        tags=_tags(visit, body),
        variables={given.name: given.value for given in body.user_variable_values},
    )
    try:
        made = create_version(visit.session, new)
    except NotFoundError as error:
        raise ApiError(404, str(error)) from error
    except InvalidError as error:
        raise refused("Validation failed.", str(error), field="name") from error
    except ConflictError as error:
        raise conflict(str(error), field="name") from error
    ring_after_commit(visit.session, made.queue, redis_url=visit.site.redis_url)
    return get_version(visit.session, made.version_id)


def _tags(visit: Visit, body: CreateVersion) -> dict[str, str]:
    """Return the tags as Coder completes them: a job of a user has the caller as its owner."""
    tags = dict(body.tags)
    if tags.get("scope") == "user":
        return {**tags, "owner": str(visit.caller.user_id)}
    return {**tags, "scope": "organization", "owner": ""}


@router.get("/templateversions/{version}")
def read_version(gate: GateOf, version: uuid.UUID) -> TemplateVersion:
    """Return a template version."""
    with gate.enter() as visit:
        found = visible_version(visit, version)
        if found.job.status is not JobStatus.PENDING:
            return found
        matched = find_matched(visit.session, found.job.id)
        return found.model_copy(update={"matched_provisioners": matched})


@router.patch("/templateversions/{version}")
def change_version(gate: GateOf, version: uuid.UUID, body: EditVersion) -> TemplateVersion:
    """Change the name or the message of a template version."""
    with gate.enter(TokenScope.OPERATE) as visit:
        found = writable_version(visit, version)
        changes: dict[str, str] = {"name": body.name} if body.name else {}
        if body.message is not None:
            changes["message"] = body.message
        try:
            if changes:
                edit_version(visit.session, found.id, changes)
        except (InvalidError, ConflictError) as error:
            raise refused(str(error), field="name") from error
        return get_version(visit.session, found.id)


@router.patch("/templateversions/{version}/cancel")
def cancel_version(gate: GateOf, version: uuid.UUID) -> Message:
    """Cancel the import of a template version."""
    with gate.enter(TokenScope.OPERATE) as visit:
        found = writable_version(visit, version)
        cancel(visit, found.job.id)
        return Message(message="Job has been marked as canceled...")


@router.post("/templateversions/{version}/archive")
def archive(gate: GateOf, version: uuid.UUID) -> Response:
    """Hide a template version from lists."""
    return _archive(gate, version, archived=True)


@router.post("/templateversions/{version}/unarchive")
def unarchive(gate: GateOf, version: uuid.UUID) -> Response:
    """Show a template version in lists again."""
    return _archive(gate, version, archived=False)


def _archive(gate: GateOf, version_id: uuid.UUID, *, archived: bool) -> Response:
    with gate.enter(TokenScope.OPERATE) as visit:
        found = writable_version(visit, version_id)
        if found.template_id.int and archived:
            template = visible_template(visit, found.template_id)
            if template.active_version_id == found.id:
                raise refused("The active version of a template cannot be archived.")
        edit_version(visit.session, found.id, {"archived": archived})
        text = "archived" if archived else "unarchived"
        return JsonAnswer(f"template version {text}")


@router.get("/templateversions/{version}/rich-parameters")
def read_parameters(gate: GateOf, version: uuid.UUID) -> list[TemplateVersionParameter]:
    """List the parameters of a template version."""
    with gate.enter() as visit:
        found = _finished(visit, version, status=425)
        return find_parameters(visit.session, found.id)


@router.get("/templateversions/{version}/presets")
def read_presets(gate: GateOf, version: uuid.UUID) -> list[Preset]:
    """List the presets of a template version."""
    with gate.enter() as visit:
        return find_presets(visit.session, visible_version(visit, version).id)


@router.get("/templateversions/{version}/variables")
def read_variables(gate: GateOf, version: uuid.UUID) -> list[TemplateVersionVariable]:
    """List the variables of a template version."""
    with gate.enter() as visit:
        found = _finished(visit, version, status=403)
        return find_variables(visit.session, found.id)


@router.get("/templateversions/{version}/external-auth")
def read_external_auth(gate: GateOf, version: uuid.UUID) -> list[dict[str, Any]]:
    """List the services that a user must sign in to: none, since the platform does that."""
    with gate.enter() as visit:
        visible_version(visit, version)
        return []


@router.get("/templateversions/{version}/resources")
def read_resources(gate: GateOf, version: uuid.UUID) -> list[WorkspaceResource]:
    """List what a workspace of this version would have when it is started, and when stopped."""
    with gate.enter() as visit:
        found = visible_version(visit, version)
        if found.job.completed_at is None:
            raise refused("Job hasn't completed!")
        return find_resources(visit.session, found.job.id)


@router.get("/templateversions/{version}/logs", responses=LOG_ANSWERS)
def read_log(gate: GateOf, request: Request, version: uuid.UUID, following: Follow) -> Response:
    """Return the log of a version's import: a list, text, or server-sent events."""
    return answer_log(
        gate, request, following, lambda visit: visible_version(visit, version).job.id
    )


@router.websocket("/templateversions/{version}/logs")
async def follow_log(gate: GateOf, websocket: WebSocket, version: str) -> None:
    """Send the log of a version's import line by line until the import has ended."""
    await stream_log(
        gate, websocket, version, lambda visit, id_: visible_version(visit, id_).job.id
    )


@router.get("/organizations/{organization}/templates/{template}/versions/{name}")
def read_named(gate: GateOf, organization: str, template: str, name: str) -> TemplateVersion:
    """Return a version of a template, both by name."""
    with gate.enter() as visit:
        home = visible_organization(visit, organization)
        return named_version(visit, named_template(visit, home.id, template), name)


@router.get(
    "/organizations/{organization}/templates/{template}/versions/{name}/previous",
    responses={204: {"description": "it is the first version"}},
    response_model=TemplateVersion,
)
def read_previous(
    gate: GateOf, organization: str, template: str, name: str
) -> TemplateVersion | Response:
    """Return the version before a version of a template."""
    with gate.enter() as visit:
        home = visible_organization(visit, organization)
        found = named_template(visit, home.id, template)
        current = named_version(visit, found, name)
        versions = find_versions(visit.session, found.id)
        position = [version.id for version in versions].index(current.id)
        return versions[position - 1] if position else Response(status_code=204)


def writable_version(visit: Visit, version_id: uuid.UUID) -> TemplateVersion:
    """Return a template version that the caller may change.

    Raises:
        ApiError: there is none, or the caller may only see it.
    """
    found = visible_version(visit, version_id)
    if not visit.caller.may(Right.WRITE_TEMPLATES, found.organization_id):
        raise forbidden("Only template admins change template versions.")
    return found


def _finished(visit: Visit, version_id: uuid.UUID, *, status: int) -> TemplateVersion:
    found = visible_version(visit, version_id)
    if found.job.completed_at is None:
        raise ApiError(status, UNFINISHED)
    return found
