"""Templates."""

from __future__ import annotations

import uuid

from fastapi import APIRouter

from api.answers import Message
from api.caller import Right
from api.errors import ApiError, conflict, forbidden, hidden, refused
from api.gate import GateOf, Visit
from api.models.columns import TIMES, columns_of
from api.models.requests import ArchiveVersions, CreateTemplate, EditTemplate, Promote
from api.routes.finding import (
    or_hidden,
    visible_organization,
    visible_template,
    visible_version,
)
from api.routes.paging import Paged, Search, part_of, terms_of
from db.catalog.audit import AuditAction
from db.catalog.edits import (
    archive_unused_versions,
    delete_template,
    edit_template,
    promote_version,
)
from db.catalog.versions import create_template_of
from db.errors import ConflictError, InvalidError
from db.reads.accounts import as_uuid
from db.reads.contract import ContractModel
from db.reads.shapes import NO_ID, Template, TemplateVersion
from db.reads.versions import TemplateFilter, find_templates, find_versions, get_template
from db.schema.enums import JobStatus, TokenScope

router = APIRouter(prefix="/api/v2", tags=["templates"])
KNOWN_TERMS = {
    "organization", "exact_name", "name", "author", "exact_display_name", "display_name", "ids",
    "deprecated", "deleted", "author_id", "has-ai-task", "has_external_agent",
}  # fmt: skip


TRUTH = {"true": True, "false": False}


class ArchivedVersions(ContractModel):
    """The versions that were archived."""

    template_id: uuid.UUID
    archived_ids: list[uuid.UUID]


@router.get("/templates")
def list_templates(gate: GateOf, q: Search = "") -> list[Template]:
    """List the templates that the caller may see, those with the most users first."""
    terms = terms_of(q, known=KNOWN_TERMS, bare="display_name")
    with gate.enter() as visit:
        if terms.get("deleted") == "true":
            return []  # deleted templates are not shown
        author = terms.get("author")
        wanted = TemplateFilter(
            organizations=visit.caller.organizations_with(Right.READ_TEMPLATES),
            organization=terms.get("organization"),
            exact_name=terms.get("exact_name"),
            name=terms.get("name"),
            display_name=terms.get("display_name") or terms.get("exact_display_name"),
            author=visit.caller.username if author == "me" else author,
            author_id=_author_id(terms.get("author_id", "")),
            deprecated=TRUTH.get(terms.get("deprecated", "")),
            has_ai_task=TRUTH.get(terms.get("has-ai-task", "")),
            has_external_agent=TRUTH.get(terms.get("has_external_agent", "")),
            ids=_ids(terms.get("ids", "")),
        )
        return find_templates(visit.session, wanted)


def _author_id(given: str) -> uuid.UUID | None:
    if not given:
        return None
    return as_uuid(given) or NO_ID  # of nobody


def _ids(given: str) -> list[uuid.UUID]:
    ids = [as_uuid(part) for part in given.split(",") if part]
    if None in ids:
        raise refused("Invalid template search query.", f"{given!r} is not a UUID", field="ids")
    return [id_ for id_ in ids if id_ is not None]


@router.get("/organizations/{organization}/templates")
def list_templates_of(gate: GateOf, organization: str) -> list[Template]:
    """List the templates of an organization."""
    with gate.enter() as visit:
        home = visible_organization(visit, organization)
        return find_templates(visit.session, TemplateFilter(organizations=[home.id]))


@router.post("/organizations/{organization}/templates", status_code=201)
def add_template(gate: GateOf, organization: str, body: CreateTemplate) -> Template:
    """Create a template from a version that belongs to none; the version becomes active."""
    with gate.enter(TokenScope.OPERATE) as visit:
        home = visible_organization(visit, organization)
        _check_writer(visit, home.id)
        try:
            version = visible_version(visit, body.template_version_id)
        except ApiError as error:
            text = f'Template version "{body.template_version_id}" does not exist.'
            raise ApiError(404, text) from error
        _check_attachable(version, home.id)
        template_id = _create(visit, body)
        visit.audit(
            AuditAction.CREATE,
            organization_id=home.id,
            resource=("template", template_id, body.name),
            facts={"version": version.name},
        )
        return get_template(visit.session, template_id)


def _check_attachable(version: TemplateVersion, organization_id: uuid.UUID) -> None:
    if version.organization_id != organization_id:
        raise ApiError(404, f'Template version "{version.id}" does not exist.')
    if version.archived:
        raise refused("Template version id is archived.")
    if version.template_id.int:
        raise refused(f"Template version {version.id} is already part of a template")


def _create(visit: Visit, body: CreateTemplate) -> uuid.UUID:
    allows = body.allow_user_cancel_workspace_jobs
    try:
        return create_template_of(
            visit.session,
            version_id=body.template_version_id,
            name=body.name,
            created_by=visit.caller.user_id,
            display_name=body.display_name,
            description=body.description,
            icon=body.icon,
            allow_user_cancel_workspace_jobs=True if allows is None else allows,
            require_active_version=body.require_active_version,
            **columns_of({name: getattr(body, name) for name in TIMES}),
        )
    except InvalidError as error:
        raise refused("Invalid create template request.", str(error), field="name") from error
    except ConflictError as error:
        raise conflict(str(error), field="name") from error


@router.get("/organizations/{organization}/templates/{name}")
def read_named_template(gate: GateOf, organization: str, name: str) -> Template:
    """Return a template of an organization by name."""
    with gate.enter() as visit:
        home = visible_organization(visit, organization)
        return named_template(visit, home.id, name)


def named_template(visit: Visit, organization_id: uuid.UUID, name: str) -> Template:
    """Return a template of an organization that the caller may see.

    Raises:
        ApiError: there is none.
    """
    found = find_templates(
        visit.session, TemplateFilter(organizations=[organization_id], exact_name=name)
    )
    if not found:
        raise hidden()
    return found[0]


@router.get("/templates/{template}")
def read_template(gate: GateOf, template: uuid.UUID) -> Template:
    """Return a template by id."""
    with gate.enter() as visit:
        return visible_template(visit, template)


@router.patch("/templates/{template}")
def change_template(gate: GateOf, template: uuid.UUID, body: EditTemplate) -> Template:
    """Change a template; what has no meaning here, such as the time until dormancy, is ignored."""
    with gate.enter(TokenScope.OPERATE) as visit:
        found = _writable(visit, template)
        given = body.model_dump(exclude_none=True)
        changes = {
            name: value
            for name, value in given.items()
            if value != getattr(found, name) and not (name == "name" and not value)
        }
        if changes:
            try:
                edit_template(visit.session, found.id, columns_of(changes))
            except InvalidError as error:
                raise refused("Validation failed.", str(error), field="name") from error
            except ConflictError as error:
                raise conflict(str(error), field="name") from error
            visit.audit(
                AuditAction.WRITE,
                organization_id=found.organization_id,
                resource=("template", found.id, found.name),
                diff={
                    name: {"old": getattr(found, name), "new": value}
                    for name, value in changes.items()
                },
            )
        return get_template(visit.session, found.id)


@router.delete("/templates/{template}")
def remove_template(gate: GateOf, template: uuid.UUID) -> Message:
    """Delete a template that no workspace uses."""
    with gate.enter(TokenScope.OPERATE) as visit:
        found = _writable(visit, template)
        try:
            delete_template(visit.session, found.id)
        except ConflictError as error:
            raise refused(str(error)) from error
        visit.audit(
            AuditAction.DELETE,
            organization_id=found.organization_id,
            resource=("template", found.id, found.name),
        )
        return Message(message="Template has been deleted!")


@router.get("/templates/{template}/versions")
def list_versions(
    gate: GateOf, page: Paged, template: uuid.UUID, *, include_archived: bool = False
) -> list[TemplateVersion]:
    """List the versions of a template, oldest first."""
    with gate.enter() as visit:
        found = visible_template(visit, template)
        versions = find_versions(visit.session, found.id, with_archived=include_archived)
        return part_of(versions, page)


@router.patch("/templates/{template}/versions")
def promote(gate: GateOf, template: uuid.UUID, body: Promote) -> Message:
    """Make a version of a template its active one."""
    with gate.enter(TokenScope.OPERATE) as visit:
        found = _writable(visit, template)
        try:
            version = visible_version(visit, body.id)
        except ApiError as error:
            raise ApiError(404, "Template version not found.") from error
        _check_promotable(version, found)
        promote_version(visit.session, template_id=found.id, version_id=version.id)
        visit.audit(
            AuditAction.WRITE,
            organization_id=found.organization_id,
            resource=("template", found.id, found.name),
            diff={
                "active_version_id": {
                    "old": str(found.active_version_id),
                    "new": str(version.id),
                }
            },
        )
        return Message(message="Updated the active template version!")


def _check_promotable(version: TemplateVersion, template: Template) -> None:
    if version.template_id != template.id:
        raise refused("The provided template version doesn't belong to the specified template.")
    if version.job.status is not JobStatus.SUCCEEDED:
        message = "Only versions that have been built successfully can be promoted."
        detail = f"Attempted to promote a version with a {version.job.status} build"
        raise ApiError(403, message, detail) from ConflictError(f"{message} {detail}")
    if version.archived:
        raise refused("The provided template version is archived.")


@router.post("/templates/{template}/versions/archive")
def archive_versions(gate: GateOf, template: uuid.UUID, body: ArchiveVersions) -> ArchivedVersions:
    """Archive versions that no workspace uses: those whose import failed, or all."""
    with gate.enter(TokenScope.OPERATE) as visit:
        found = _writable(visit, template)
        archived = archive_unused_versions(visit.session, found.id, with_succeeded=body.all)
        return ArchivedVersions(template_id=found.id, archived_ids=archived)


@router.get("/templates/{template}/versions/{name}")
def read_named_version(gate: GateOf, template: uuid.UUID, name: str) -> TemplateVersion:
    """Return a version of a template by name."""
    with gate.enter() as visit:
        return named_version(visit, visible_template(visit, template), name)


def named_version(visit: Visit, template: Template, name: str) -> TemplateVersion:
    """Return a version of a template by name.

    Raises:
        ApiError: there is none.
    """
    with or_hidden():
        versions = find_versions(visit.session, template.id, name=name)
    if not versions:
        raise ApiError(404, f'No template version found by name "{name[:100]}".')
    return versions[0]


def _writable(visit: Visit, template_id: uuid.UUID) -> Template:
    found = visible_template(visit, template_id)
    _check_writer(visit, found.organization_id)
    return found


def _check_writer(visit: Visit, organization_id: uuid.UUID) -> None:
    if not visit.caller.may(Right.WRITE_TEMPLATES, organization_id):
        raise forbidden("Only template admins change templates.")
