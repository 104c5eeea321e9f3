"""Workspaces by what people call them, deleted ones too."""

from __future__ import annotations

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.errors import NotFoundError
from db.schema.tables import User, Workspace


def find_workspace(session: Session, reference: str, *, owner: User | None = None) -> Workspace:
    """Return the workspace that a person means.

    Args:
        reference: its id, its name, or ``OWNER/NAME``. Where the owner has no such workspace now,
            the last one of that name that was deleted.
        owner: whose workspace it is, for a name alone.

    Raises:
        NotFoundError: there is none, or a name came without an owner.
    """
    if (workspace_id := _as_id(reference)) is not None:
        found = session.get(Workspace, workspace_id)
        if found is None:
            raise NotFoundError(f"there is no workspace {reference}")
        return found
    username, separator, name = reference.rpartition("/")
    if separator == "" and owner is None:
        raise NotFoundError(f"whose workspace {reference!r} is was not said; give OWNER/NAME")
    return _by_name(session, owner.username if owner and not separator else username, name)


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
        raise NotFoundError(f"user {username!r} has no workspace {name!r}, and had none")
    return found


def _as_id(reference: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(reference)
    except ValueError:
        return None
