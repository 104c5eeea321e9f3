"""Authorization to act as a chat's owner: the port, and its implementation by the database.

Only creating a workspace, starting a build and looking up quota figures need it. A tool's other
actions read rows of the chat, and keep working when the owner cannot be authorized.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from chattool.errors import AuthorizationError
from db.reads.people import OwnerFacts, find_owner
from db.schema.enums import UserStatus
from db.texts import first_line


@dataclass(frozen=True, kw_only=True)
class AuthorizedOwner:
    """A user who may act in an organization, with their roles and groups."""

    id: uuid.UUID
    username: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class OwnerAuthorization(Protocol):
    """Called before a workspace is created, a build is started or quota figures are looked up."""

    def authorize(
        self, session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
    ) -> AuthorizedOwner:
        """Return the owner, loaded in the caller's transaction.

        Raises:
            AuthorizationError: the owner may not act, or cannot be checked.
        """
        ...


class StoredAuthorization:
    """Authorizes by the owner's row in the database."""

    def authorize(
        self, session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
    ) -> AuthorizedOwner:
        """Return the owner, if active and a member of the organization.

        Raises:
            AuthorizationError: the owner may not act; the message says who can change that.
        """
        try:
            facts = find_owner(session, owner_id=owner_id, organization_id=organization_id)
        except SQLAlchemyError as error:
            raise AuthorizationError(f"load user authorization: {first_line(error)}") from error
        if facts is None:
            raise AuthorizationError(f"load user authorization: there is no user {owner_id}")
        if refusal := _refusal(facts):
            raise AuthorizationError(refusal)
        return AuthorizedOwner(
            id=facts.id,
            username=facts.username,
            roles=tuple(facts.roles),
            groups=tuple(facts.groups),
        )


def _refusal(facts: OwnerFacts) -> str | None:
    if facts.deleted:
        return f"chat owner {facts.id} is not active: user {facts.username!r} was deleted"
    if facts.status is not UserStatus.ACTIVE:
        return (
            f"chat owner {facts.id} is not active: user {facts.username!r} is {facts.status};"
            " ask an administrator to activate the account"
        )
    if not facts.is_member:
        return (
            f"user {facts.username!r} is not a member of this organization;"
            " ask an administrator to add them"
        )
    return None
