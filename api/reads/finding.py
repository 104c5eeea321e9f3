"""Finding what a question names, for a viewer who may see it; anything else does not exist."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import text

from api.caller import Right
from api.reads.asking import Viewer, sight_of
from db.errors import NotFoundError, unknown_user
from db.reads.jobs import find_job_id
from db.reads.usernames import find_user_id

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.engine import Reader
    from db.schema.tables import Organization, User

# Uses: ix_organization_members_user_id.
_HOMES = text("SELECT organization_id FROM organization_members WHERE user_id = :id")


def visible_job_id(reader: Reader, viewer: Viewer, prefix: str) -> uuid.UUID:
    """Return the id of the job that begins with ``prefix``. Errors are those of ``find_job_id``."""
    return find_job_id(reader, prefix, sight=sight_of(viewer, Right.READ_JOBS))


def visible_user_id(reader: Reader, viewer: Viewer, username: str) -> uuid.UUID:
    """Return the id of the user of that name.

    Raises:
        NotFoundError: there is none, or the viewer may not see the user.
    """
    user_id = find_user_id(reader, username)
    if user_id == viewer.user_id or viewer.may_everywhere(Right.READ_MEMBERS):
        return user_id
    homes = reader.execute(_HOMES, {"id": user_id}).scalars()
    if not any(viewer.may(Right.READ_MEMBERS, home) for home in homes):
        raise unknown_user(username)
    return user_id


def visible_user(session: Session, viewer: Viewer, username: str) -> User:
    """Return the user of that name. Errors are those of ``visible_user_id``."""
    # Here: a command that only lists needs no models.
    from db.catalog.people import get_user  # noqa: PLC0415

    visible_user_id(session, viewer, username)
    return get_user(session, username)


def find_organization(session: Session, name: str | None) -> Organization:
    """Return the organization of that name, or the default one.

    Raises:
        NotFoundError: there is none; the message says how to create it.
    """
    # Here: a command that only lists needs no models.
    from db.catalog.people import get_organization  # noqa: PLC0415

    try:
        return get_organization(session, name)
    except NotFoundError as error:
        raise _with_hint(str(error), name) from error


def visible_organization(session: Session, viewer: Viewer, name: str | None) -> Organization:
    """Return the organization of that name, or the default one.

    Raises:
        NotFoundError: there is none, or the viewer is not a member.
    """
    found = find_organization(session, name)
    if not viewer.may(Right.READ_TEMPLATES, found.id):
        raise _with_hint(f"there is no organization {name or found.name!r}", name or found.name)
    return found


def _with_hint(message: str, name: str | None) -> NotFoundError:
    command = f"organization create {name}" if name else "user create NAME"
    return NotFoundError(f"{message}; `provisionerd {command}` makes one")
