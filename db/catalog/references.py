"""Finding workspaces by id or name, including deleted ones."""

from __future__ import annotations

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.errors import NotFoundError
from db.schema.tables import User, Workspace


def find_workspace(session: Session, reference: str, *, owner: User | None = None) -> Workspace:
    """Return the workspace that a person refers to.

    Args:
        reference: its id, its name, or ``OWNER/NAME``. If the owner has no workspace with this name
            now, the last deleted one is returned.
        owner: the owner, for a reference that is only a name.

    Raises:
        NotFoundError: there is no such workspace, or a name was given without an owner.
    """
    workspace_id = _as_id(reference)
    if workspace_id is not None:
        return _by_id(session, workspace_id)
    username, separator, name = reference.rpartition("/")
    if not separator:
        if owner is None:
            raise NotFoundError(f"workspace {reference!r} needs an owner; give OWNER/NAME")
        username = owner.username
    return _by_name(session, username, name)


def _by_id(session: Session, workspace_id: uuid.UUID) -> Workspace:
    found = session.get(Workspace, workspace_id)
    if found is None:
        raise NotFoundError(f"there is no workspace {workspace_id}")
    return found


def _by_name(session: Session, username: str, name: str) -> Workspace:
    query = (
        select(Workspace)
        .join(User, User.id == Workspace.owner_id)
        .where(
            func.lower(User.username) == username.lower(),
            func.lower(Workspace.name) == name.lower(),
        )
        .order_by(User.deleted, Workspace.deleted, Workspace.updated_at.desc())
        .limit(1)
    )
    found = session.scalars(query).one_or_none()
    if found is None:
        raise NotFoundError(f"user {username!r} has no workspace {name!r}, and never had one")
    return found


def _as_id(reference: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(reference)
    except ValueError:
        return None
