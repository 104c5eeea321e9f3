"""Acting as a chat's owner: the port, and the implementation that asks the database.

Only creating a workspace, starting a build and looking up quota figures ask for it. Everything
else a tool does is reading rows of the chat, and goes on working while nobody can be authorized.
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
    """Asked before a workspace is created, a build is started or quota figures are looked up."""

    def authorize(
        self, session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
    ) -> AuthorizedOwner:
        """Return the owner, loaded in the caller's transaction.

        Raises:
            AuthorizationError: the owner may not act, or it cannot be determined.
        """
        ...


class StoredAuthorization:
    """Authorizes by the owner's row in the database."""

    def authorize(
        self, session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
    ) -> AuthorizedOwner:
        """Return the owner, if active and a member of the organization.

        Raises:
            AuthorizationError: the message says who has to do what.
        """
        try:
            facts = find_owner(session, owner_id=owner_id, organization_id=organization_id)
        except SQLAlchemyError as error:
            raise AuthorizationError(f"load user authorization: {first_line(error)}") from error
        if facts is None:
            raise AuthorizationError(f"load user authorization: there is no user {owner_id}")
        if facts.deleted or facts.status is not UserStatus.ACTIVE:
            raise AuthorizationError(_inactive(facts))
        if not facts.is_member:
            raise AuthorizationError(
                f"user {facts.username!r} is not a member of this organization;"
                " ask an administrator to add them"
            )
        return AuthorizedOwner(
            id=facts.id,
            username=facts.username,
            roles=tuple(facts.roles),
            groups=tuple(facts.groups),
        )


def _inactive(facts: OwnerFacts) -> str:
    if facts.deleted:
        return f"chat owner {facts.id} is not active: user {facts.username!r} was deleted"
    return (
        f"chat owner {facts.id} is not active: user {facts.username!r} is {facts.status};"
        " ask an administrator to activate the account"
    )
