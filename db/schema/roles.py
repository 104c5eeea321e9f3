"""The roles of users, and the system user. Names are those of Coder."""

from __future__ import annotations

import uuid
from enum import StrEnum

PREBUILDS_USER_ID = uuid.UUID("c42fdf75-3097-471c-8c33-fb52454d81c0")
"""The system user that initiates prebuilds. Source: Coder."""


class SiteRole(StrEnum):
    """A role in the whole site (``users.rbac_roles``). Every user is a member, too."""

    OWNER = "owner"  #: everything
    TEMPLATE_ADMIN = "template-admin"  #: templates, and reading workspaces
    USER_ADMIN = "user-admin"  #: users, members and groups
    AUDITOR = "auditor"  #: reading the audit log, templates and users


class OrganizationRole(StrEnum):
    """A role in one organization (``organization_members.roles``)."""

    ADMIN = "organization-admin"
    TEMPLATE_ADMIN = "organization-template-admin"
    USER_ADMIN = "organization-user-admin"
    AUDITOR = "organization-auditor"
    CREATION_BAN = "organization-workspace-creation-ban"  #: may not create workspaces
