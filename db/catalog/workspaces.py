"""Creating, changing and finding workspaces."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit
from db.catalog.limits import check_owner, check_workspaces
from db.catalog.names import check_name, insert_named
from db.errors import (
    ConflictError,
    TemplateDeprecatedError,
    unknown_workspace,
)
from db.jobs.events import EventType, record_workspace
from db.schema.tables import Template, User, Workspace


def create_workspace(
    session: Session, *, owner: User, template: Template, name: str, chat_id: str | None = None
) -> Workspace:
    """Create a workspace without a build.

    Args:
        chat_id: the chat that makes it; ``NO_CHAT`` for an agent without one, None for a person.

    Raises:
        InvalidError: the name is not allowed.
        TemplateDeprecatedError: the template makes no new workspaces.
        OwnerInactiveError: the owner is not active.
        LimitReachedError: the owner or the chat has enough workspaces.
        ConflictError: the owner has a workspace of that name.
    """
    check_owner(owner.username, owner.status, deleted=owner.deleted)
    if template.deprecated:
        raise TemplateDeprecatedError(template.name, template.deprecated)
    workspace = Workspace(
        id=uuid.uuid4(),
        owner_id=owner.id,
        organization_id=template.organization_id,
        template_id=template.id,
        name=check_name("workspace", name),
        chat_id=chat_id,
        ttl=template.default_ttl or None,
        last_used_at=func.now(),
    )
    check_workspaces(session, owner.id, chat_id)
    insert_named(session, workspace, taken=_taken(owner, name))
    record_workspace(session, workspace.id, EventType.WORKSPACE_CREATED)
    return workspace


def edit_workspace(session: Session, workspace_id: uuid.UUID, changes: Mapping[str, Any]) -> None:
    """Change settings of a workspace, by column.

    Raises:
        IntegrityError: the name is taken.
    """
    session.execute(
        update(Workspace)
        .where(Workspace.id == workspace_id)
        .values(**changes, updated_at=func.now())
        .execution_options(synchronize_session=False)
    )
    record_workspace(session, workspace_id, EventType.WORKSPACE_UPDATED)


def rename_workspace(session: Session, *, owner: User, name: str, new: str, actor: Actor) -> None:
    """Give the owner's workspace another name; builds that run keep the old one.

    Raises:
        NotFoundError: there is none, or it was deleted.
        InvalidError: the new name is not allowed.
        ConflictError: the owner has a workspace of the new name.
    """
    workspace = get_workspace(session, owner=owner, name=name)
    old = workspace.name
    try:
        with session.begin_nested():
            edit_workspace(session, workspace.id, {"name": check_name("workspace", new)})
    except IntegrityError as error:
        raise ConflictError(_taken(owner, new)) from error
    audit(
        session,
        actor=actor,
        action=AuditAction.WRITE,
        organization_id=workspace.organization_id,
        resource=("workspace", workspace.id, f"{owner.username}/{old}"),
        diff={"name": {"old": old, "new": new}},
    )


def get_workspace(session: Session, *, owner: User, name: str) -> Workspace:
    """Return the owner's workspace of that name.

    Raises:
        NotFoundError: there is none, or it was deleted.
    """
    workspace = session.scalars(
        select(Workspace).where(
            Workspace.owner_id == owner.id,
            func.lower(Workspace.name) == name.lower(),
            ~Workspace.deleted,
        )
    ).one_or_none()
    if workspace is None:
        raise unknown_workspace(owner.username, name)
    return workspace


def _taken(owner: User, name: str) -> str:
    return f"user {owner.username!r} already has a workspace {name!r}"
