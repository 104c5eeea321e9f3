"""Users by their names, without the models."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import text

from db.errors import unknown_user

if TYPE_CHECKING:
    from db.engine import Reader

# Uses: uq_users_username.
_USER = text("SELECT id FROM users WHERE lower(username) = :username AND NOT deleted")


def find_user_id(reader: Reader, username: str) -> uuid.UUID:
    """Return the id of the user of that name.

    Raises:
        NotFoundError: there is none.
    """
    found: uuid.UUID | None = reader.execute(_USER, {"username": username.lower()}).scalar()
    if found is None:
        raise unknown_user(username)
    return found
