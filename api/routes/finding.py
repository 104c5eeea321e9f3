"""Finding what a path names, for a caller who may see it; anything else does not exist."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from api.caller import Caller, Right
from api.errors import hidden
from api.gate import Visit
from db.errors import NotFoundError
from db.reads.accounts import find_organization, find_user_id, get_user
from db.reads.machines import WorkspaceRow, find_workspace_id, get_workspace
from db.reads.shapes import Organization, Template, TemplateVersion, User
from db.reads.versions import get_template, get_version

ME = "me"


@contextmanager
def or_hidden() -> Iterator[None]:
    """Answer with 404 in the words of Coder if the block finds nothing."""
    try:
        yield
    except NotFoundError as error:
        raise hidden() from error


def user_id_of(visit: Visit, reference: str) -> uuid.UUID:
    """Return the id of the user that a path names, visible or not.

    Raises:
        ApiError: there is none.
    """
    if reference == ME:
        return visit.caller.user_id
    with or_hidden():
        return find_user_id(visit.session, reference)


def visible_user(visit: Visit, reference: str) -> User:
    """Return the user that a path names.

    Raises:
        ApiError: there is none, or the caller may not see the user.
    """
    user_id = user_id_of(visit, reference)
    with or_hidden():
        user = get_user(visit.session, user_id)
    if user_id != visit.caller.user_id and not _may_see(visit.caller, user):
        raise hidden()
    return user


def _may_see(caller: Caller, user: User) -> bool:
    return caller.may_everywhere(Right.READ_MEMBERS) or any(
        caller.may(Right.READ_MEMBERS, organization_id) for organization_id in user.organization_ids
    )


def visible_organization(visit: Visit, reference: str) -> Organization:
    """Return the organization that a path names.

    Raises:
        ApiError: there is none, or the caller is not a member.
    """
    with or_hidden():
        organization = find_organization(visit.session, reference)
    _hide_unless_member(visit, organization.id)
    return organization


def _hide_unless_member(visit: Visit, organization_id: uuid.UUID) -> None:
    if not visit.caller.may(Right.READ_TEMPLATES, organization_id):
        raise hidden()


def visible_template(visit: Visit, template_id: uuid.UUID) -> Template:
    """Return a template that is not deleted.

    Raises:
        ApiError: there is none, or the caller may not see it.
    """
    with or_hidden():
        template = get_template(visit.session, template_id)
    if template.deleted:
        raise hidden()
    _hide_unless_member(visit, template.organization_id)
    return template


def visible_version(visit: Visit, version_id: uuid.UUID) -> TemplateVersion:
    """Return a template version.

    Raises:
        ApiError: there is none, or the caller may not see it.
    """
    with or_hidden():
        version = get_version(visit.session, version_id)
    _hide_unless_member(visit, version.organization_id)
    return version


def visible_workspace(visit: Visit, workspace_id: uuid.UUID) -> WorkspaceRow:
    """Return a workspace, also a deleted one.

    Raises:
        ApiError: there is none, or the caller may not see it.
    """
    with or_hidden():
        row = get_workspace(visit.session, workspace_id)
    found = row.workspace
    is_own = found.owner_id == visit.caller.user_id
    if not is_own and not visit.caller.may(Right.READ_WORKSPACES, found.organization_id):
        raise hidden()
    return row


def named_workspace(
    visit: Visit, owner: str, name: str, *, with_deleted: bool = False
) -> WorkspaceRow:
    """Return the workspace that a user has under a name.

    Raises:
        ApiError: there is none, or the caller may not see it.
    """
    owner_id = user_id_of(visit, owner)
    with or_hidden():
        workspace_id = find_workspace_id(
            visit.session, owner_id=owner_id, name=name, with_deleted=with_deleted
        )
    return visible_workspace(visit, workspace_id)
