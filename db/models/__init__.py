"""The tables, as typed SQLAlchemy models. Columns are named as in the system that we follow."""

from __future__ import annotations

from db.models.base import Base
from db.models.chats import Chat
from db.models.jobs import (
    LOG_LIMIT_BYTES,
    Lease,
    ProvisionerDaemon,
    ProvisionerJob,
    ProvisionerJobLog,
    ProvisionerJobTiming,
)
from db.models.people import (
    Group,
    GroupMember,
    Organization,
    OrganizationMember,
    QuotaAccount,
    User,
)
from db.models.templates import File, Template, TemplateVersion, TemplateVersionVariable
from db.models.workspaces import (
    Workspace,
    WorkspaceBuild,
    WorkspaceBuildParameter,
    WorkspaceResource,
    WorkspaceResourceMetadata,
)

__all__ = [
    "LOG_LIMIT_BYTES",
    "Base",
    "Chat",
    "File",
    "Group",
    "GroupMember",
    "Lease",
    "Organization",
    "OrganizationMember",
    "ProvisionerDaemon",
    "ProvisionerJob",
    "ProvisionerJobLog",
    "ProvisionerJobTiming",
    "QuotaAccount",
    "Template",
    "TemplateVersion",
    "TemplateVersionVariable",
    "User",
    "Workspace",
    "WorkspaceBuild",
    "WorkspaceBuildParameter",
    "WorkspaceResource",
    "WorkspaceResourceMetadata",
]
