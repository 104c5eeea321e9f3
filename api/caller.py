"""The user who makes a request, and what the user's roles and the token allow.

``GRANTS`` is the whole table of rights. An owner of the site has all of them, an organization
admin those of the organization.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from db.schema.enums import TokenScope
from db.schema.roles import OrganizationRole, SiteRole

if TYPE_CHECKING:
    from db.reads.tokens import Holder


class Right(StrEnum):
    """What a role allows in an organization, in addition to what users may do with their own."""

    READ_TEMPLATES = "read_templates"
    WRITE_TEMPLATES = "write_templates"  #: push, promote, edit, delete; states of workspaces
    READ_WORKSPACES = "read_workspaces"  #: of other users
    BUILD_WORKSPACES = "build_workspaces"  #: of other users
    READ_MEMBERS = "read_members"
    WRITE_MEMBERS = "write_members"
    READ_JOBS = "read_jobs"
    OPERATE_JOBS = "operate_jobs"  #: cancel and retry
    READ_AUDIT = "read_audit"
    ADMINISTER = "administer"  #: webhooks, tokens of other users


_TEMPLATE_ADMINS = frozenset({SiteRole.TEMPLATE_ADMIN, OrganizationRole.TEMPLATE_ADMIN})
_USER_ADMINS = frozenset({SiteRole.USER_ADMIN, OrganizationRole.USER_ADMIN})
_AUDITORS = frozenset({SiteRole.AUDITOR, OrganizationRole.AUDITOR})
GRANTS: Mapping[Right, frozenset[str]] = {
    Right.READ_TEMPLATES: _TEMPLATE_ADMINS | _USER_ADMINS | _AUDITORS,
    Right.WRITE_TEMPLATES: _TEMPLATE_ADMINS,
    Right.READ_WORKSPACES: _TEMPLATE_ADMINS,
    Right.BUILD_WORKSPACES: frozenset(),
    Right.READ_MEMBERS: _TEMPLATE_ADMINS | _USER_ADMINS | _AUDITORS,
    Right.WRITE_MEMBERS: _USER_ADMINS,
    Right.READ_JOBS: _TEMPLATE_ADMINS,
    Right.OPERATE_JOBS: _TEMPLATE_ADMINS,
    Right.READ_AUDIT: _AUDITORS,
    Right.ADMINISTER: frozenset(),
}
OF_EVERY_MEMBER = frozenset({Right.READ_TEMPLATES})


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A user, with the roles that count now and the scope of the token."""

    user_id: uuid.UUID
    username: str
    scope: TokenScope
    token_id: str  #: empty if an authenticating proxy vouches for the user
    site_roles: frozenset[str]
    memberships: Mapping[uuid.UUID, frozenset[str]]

    @classmethod
    def of(cls, holder: Holder) -> Caller:
        """Return the caller that the holder of a token is."""
        return cls(
            user_id=holder.user_id,
            username=holder.username,
            scope=holder.scope,
            token_id=holder.token_id,
            site_roles=holder.site_roles,
            memberships=holder.memberships,
        )

    @property
    def is_owner(self) -> bool:
        """Whether the caller is an owner of the site."""
        return SiteRole.OWNER in self.site_roles

    def may(self, right: Right, organization_id: uuid.UUID) -> bool:
        """Return whether the caller has the right in the organization."""
        if self.may_everywhere(right):
            return True
        roles = self.memberships.get(organization_id)
        if roles is None:
            return False
        is_granted = bool(roles & GRANTS[right]) or OrganizationRole.ADMIN in roles
        return is_granted or right in OF_EVERY_MEMBER

    def may_everywhere(self, right: Right) -> bool:
        """Return whether the caller has the right in all organizations."""
        return self.is_owner or bool(self.site_roles & GRANTS[right])

    def organizations_with(self, right: Right) -> list[uuid.UUID] | None:
        """Return the organizations in which the caller has the right; None for all."""
        if self.may_everywhere(right):
            return None
        return [id_ for id_ in self.memberships if self.may(right, id_)]
