"""Names of organizations, users, groups, templates and workspaces: the rule, and lookups."""

from __future__ import annotations

import re

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import ConflictError, InvalidError
from db.schema.tables import Base

NAME_LIMIT = 32
NAME_PATTERN = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*")
RESERVED = {"new", "create"}  #: Coder's clients and pages have other things under these names


def check_name(kind: str, name: str) -> str:
    """Return ``name`` if it is a valid name of a ``kind``, such as "workspace".

    Raises:
        InvalidError: it is empty, too long, not letters and digits joined by single hyphens, or
            reserved.
    """
    if len(name) > NAME_LIMIT or not NAME_PATTERN.fullmatch(name):
        raise InvalidError(
            f"{name!r} cannot name a {kind}: use at most {NAME_LIMIT} letters and digits,"
            " joined by single hyphens"
        )
    if name.lower() in RESERVED:
        raise InvalidError(f"{name!r} is reserved and cannot name a {kind}")
    return name


def insert_named(session: Session, row: Base, *, taken: str) -> None:
    """Insert a row whose name must be free.

    Raises:
        ConflictError: it is not; the message is ``taken``. The transaction can go on.
    """
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise ConflictError(taken) from error
