"""Finding what an agent names among what its owner may use."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from chattool.context import OwnerContext
from db.errors import ConflictError, NotFoundError
from db.reads.accounts import as_uuid
from db.reads.builds import get_build
from db.reads.contract import WorkspaceBuild
from db.reads.machines import WorkspaceFilter, find_workspace_id, find_workspaces, get_workspace
from db.reads.shapes import Template, Workspace
from db.reads.versions import TemplateFilter, find_templates
from db.schema.tables import OrganizationMember
from db.texts import check_storable

SHOWN_NAMES = 20
EVERY_WORKSPACE = 200


def own_workspaces(session: Session, context: OwnerContext) -> list[Workspace]:
    """Return the owner's workspaces that are not deleted, at most ``EVERY_WORKSPACE``."""
    wanted = WorkspaceFilter(organizations=(), seen_by=context.owner_id)
    return find_workspaces(session, wanted, favorites_of=context.owner_id, limit=EVERY_WORKSPACE)[0]


def own_workspace(session: Session, context: OwnerContext, reference: str) -> Workspace:
    """Return the owner's workspace with this name or ID.

    Raises:
        NotFoundError: the owner has none; the message names those that exist.
    """
    name = check_storable("workspace", reference).strip()
    try:
        workspace_id = as_uuid(name) or _id_of(session, context, name)
        row = get_workspace(session, workspace_id)
    except NotFoundError as error:
        raise _no_workspace(session, context, name) from error
    if row.deleted or row.workspace.owner_id != context.owner_id:
        raise _no_workspace(session, context, name)
    return row.workspace


def own_build(session: Session, context: OwnerContext, reference: str) -> WorkspaceBuild:
    """Return a build of a workspace of the owner: by its ID, or a workspace's latest by its name.

    Raises:
        NotFoundError: there is none.
    """
    build_id = as_uuid(check_storable("build", reference).strip())
    if build_id is None:
        return own_workspace(session, context, reference).latest_build
    missing = NotFoundError(
        f"you have no build {reference!r}; list_workspaces names the latest build of each workspace"
    )
    try:
        build = get_build(session, build_id)
    except NotFoundError as error:
        raise missing from error
    if build.workspace_owner_id != context.owner_id:
        raise missing
    return build


def own_templates(session: Session, context: OwnerContext) -> list[Template]:
    """Return the templates of the organizations that the owner is a member of."""
    homes = session.scalars(
        select(OrganizationMember.organization_id).where(
            OrganizationMember.user_id == context.owner_id
        )
    )
    return find_templates(session, TemplateFilter(organizations=list(homes)))


def own_template(session: Session, context: OwnerContext, reference: str) -> Template:
    """Return a template that the owner may use, by its ID, its name, or ``organization/name``.

    Raises:
        NotFoundError: there is none; the message names those that exist.
        ConflictError: several organizations have one of that name.
    """
    wanted = check_storable("template", reference).strip().lower()
    templates = own_templates(session, context)
    found = [template for template in templates if wanted in _names(template)]
    if len(found) > 1:
        choice = ", ".join(f"{one.organization_name}/{one.name}" for one in found)
        raise ConflictError(f"template {reference!r} is ambiguous; give one of: {choice}")
    if not found:
        raise NotFoundError(f"there is no template {reference!r}; {_choice_of(templates)}")
    return found[0]


def _choice_of(templates: Sequence[Template]) -> str:
    names = ", ".join(template.name for template in templates[:SHOWN_NAMES])
    return f"the templates are: {names}" if names else "ask an administrator to push one"


def _names(template: Template) -> set[str]:
    name = template.name.lower()
    return {str(template.id), name, f"{template.organization_name.lower()}/{name}"}


def _id_of(session: Session, context: OwnerContext, reference: str) -> uuid.UUID:
    owner, _, name = reference.rpartition("/")
    found = find_workspace_id(session, owner_id=context.owner_id, name=name)
    if owner:
        workspace = get_workspace(session, found).workspace
        if workspace.owner_name.lower() != owner.lower():
            raise NotFoundError(f"there is no workspace {reference!r}")
    return found


def _no_workspace(session: Session, context: OwnerContext, reference: str) -> NotFoundError:
    names = [workspace.name for workspace in own_workspaces(session, context)[:SHOWN_NAMES]]
    known = f"your workspaces are: {', '.join(names)}" if names else "you have none"
    return NotFoundError(f"you have no workspace {reference!r}; {known}")
