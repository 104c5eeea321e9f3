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
    RowList,
    Viewer,
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


class OrganizationList(RowList[OrganizationListing]):
    """List the organizations, the default one first."""

    path = "/organizations"
    rows = staticmethod(list_organizations)
    right = Right.READ_TEMPLATES


class UserList(RowList[UserListing]):
    """List the users, by name."""

    path = "/users"
    rows = staticmethod(list_users)
    right = Right.READ_MEMBERS


class GroupList(RowList[GroupListing]):
    """List the groups by organization, Everyone first."""

    path = "/groups"
    rows = staticmethod(list_groups)
    right = Right.READ_MEMBERS
    refusal = "only admins and auditors see groups"


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
