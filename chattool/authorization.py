"""Acting as a chat's owner: the port, the real one, and one for tests.

Only creating a workspace, starting a build and looking up quota figures ask for it. Everything
else a tool does is reading rows of the chat, and goes on working while nobody can be authorized.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from chattool.errors import AuthorizationError
from db.reads.people import OwnerFacts, find_owner
from db.schema.enums import UserStatus


@dataclass(frozen=True, kw_only=True)
class AuthorizedOwner:
    """A user who may act in an organization, and as what."""

    id: uuid.UUID
    username: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class OwnerAuthorization(Protocol):
    """What creating, starting and quota look-ups ask before they act."""

    def authorize(
        self, session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
    ) -> AuthorizedOwner:
        """Return the owner, loaded in the caller's transaction.

        Raises:
            AuthorizationError: the owner may not act, or nobody can tell.
        """
        ...


class StoredAuthorization:
    """Authorizes by what the database says of the owner."""

    def authorize(
        self, session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
    ) -> AuthorizedOwner:
        """Return the owner, if active and a member of the organization.

        Raises:
            AuthorizationError: says who has to do what about it.
        """
        try:
            facts = find_owner(session, owner_id=owner_id, organization_id=organization_id)
        except SQLAlchemyError as error:
            raise AuthorizationError(f"load user authorization: {_reason(error)}") from error
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


@dataclass(kw_only=True)
class CountingAuthorization:
    """For tests: counts who is authorized, and may fail or hang before it hands on."""

    inner: OwnerAuthorization = field(default_factory=StoredAuthorization)
    before: Callable[[], None] = lambda: None
    owners: list[uuid.UUID] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How often somebody asked."""
        return len(self.owners)

    def authorize(
        self, session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
    ) -> AuthorizedOwner:
        """Count, do what the test wants, then ask the inner one."""
        self.owners.append(owner_id)
        self.before()
        return self.inner.authorize(session, owner_id=owner_id, organization_id=organization_id)


def _inactive(facts: OwnerFacts) -> str:
    if facts.deleted:
        return f"chat owner {facts.id} is not active: user {facts.username!r} was deleted"
    return (
        f"chat owner {facts.id} is not active: user {facts.username!r} is {facts.status};"
        " ask an administrator to activate the account"
    )


def _reason(error: SQLAlchemyError) -> str:
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
