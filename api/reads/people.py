"""Organizations, users and groups, and what lets users in: tokens. Webhooks have owners, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.caller import Right
from api.reads.asking import (
    USUAL_ROWS,
    Read,
    RightMissingError,
    Viewer,
    sight_by_right,
    sight_of,
)
from api.reads.finding import visible_user_id
from db.catalog.webhooks import WebhookListing, list_webhooks
from db.reads.people import (
    GroupListing,
    OrganizationListing,
    UserListing,
    list_groups,
    list_organizations,
    list_users,
)
from db.reads.tokens import TokenListing, list_tokens

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True)
class OrganizationList(Read[list[OrganizationListing]]):
    """List the organizations, the default one first."""

    path = "/organizations"
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[OrganizationListing]:
        """Return the organizations that the viewer is a member of or may read."""
        sight = sight_of(viewer, Right.READ_TEMPLATES)
        return list_organizations(session, sight=sight, limit=self.limit)


@dataclass(frozen=True, kw_only=True)
class UserList(Read[list[UserListing]]):
    """List the users, by name."""

    path = "/users"
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[UserListing]:
        """Return the viewer, and the users of organizations whose members it may read."""
        sight = sight_of(viewer, Right.READ_MEMBERS)
        return list_users(session, sight=sight, limit=self.limit)


@dataclass(frozen=True, kw_only=True)
class GroupList(Read[list[GroupListing]]):
    """List the groups by organization, Everyone first."""

    path = "/groups"
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[GroupListing]:
        """Return the groups of organizations whose members the viewer may read."""
        sight = sight_by_right(viewer, Right.READ_MEMBERS, "only admins and auditors see groups")
        return list_groups(session, sight=sight, limit=self.limit)


@dataclass(frozen=True, kw_only=True)
class TokenList(Read[Sequence[TokenListing]]):
    """List tokens without their secrets, by user, the newest first."""

    path = "/tokens"
    username: str | None = None
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> Sequence[TokenListing]:
        """Return the tokens of a user or of all; those of others only for an owner of the site."""
        wanted = visible_user_id(session, viewer, self.username) if self.username else None
        if not viewer.may_everywhere(Right.ADMINISTER):
            if wanted not in {None, viewer.user_id}:
                raise RightMissingError("only owners see the tokens of other users")
            wanted = viewer.user_id
        return list_tokens(session, user_id=wanted, limit=self.limit)


@dataclass(frozen=True, kw_only=True)
class WebhookList(Read[list[WebhookListing]]):
    """List the webhooks, and how they fare."""

    path = "/webhooks"
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[WebhookListing]:
        """Return the webhooks that the viewer administers."""
        administered = viewer.organizations_with(Right.ADMINISTER)
        return list_webhooks(session, organizations=administered)[: self.limit]
