"""The tables, as typed SQLAlchemy models. Columns are named as in Coder."""

from __future__ import annotations

from db.schema.tables.agents import (
    WorkspaceAgent,
    WorkspaceAgentDevcontainer,
    WorkspaceAgentLogSource,
    WorkspaceAgentMemoryResourceMonitor,
    WorkspaceAgentMetadatum,
    WorkspaceAgentScript,
    WorkspaceAgentVolumeResourceMonitor,
    WorkspaceApp,
)
from db.schema.tables.audit import AuditLog
from db.schema.tables.autostops import Autostop
from db.schema.tables.base import Base
from db.schema.tables.chats import Chat
from db.schema.tables.circuits import Circuit
from db.schema.tables.events import Event, Webhook, WebhookDelivery
from db.schema.tables.jobs import (
    LOG_LIMIT_BYTES,
    JobLease,
    ProvisionerDaemon,
    ProvisionerJob,
    ProvisionerJobLog,
    ProvisionerJobTiming,
)
from db.schema.tables.limits import LimitRow
from db.schema.tables.people import (
    Group,
    GroupMember,
    Organization,
    OrganizationMember,
    QuotaAccount,
    User,
)
from db.schema.tables.queues import QueuePause
from db.schema.tables.templates import File, Template, TemplateVersion
from db.schema.tables.tokens import ApiToken
from db.schema.tables.versions import (
    TemplateVersionDryRun,
    TemplateVersionParameter,
    TemplateVersionPreset,
    TemplateVersionPresetParameter,
    TemplateVersionPresetPrebuildSchedule,
    TemplateVersionTerraformValues,
    TemplateVersionVariable,
    TemplateVersionWorkspaceTag,
    WorkspaceModule,
)
from db.schema.tables.workspaces import (
    ReplacedState,
    Workspace,
    WorkspaceBuild,
    WorkspaceBuildParameter,
    WorkspaceResource,
    WorkspaceResourceMetadata,
)

__all__ = [
    "LOG_LIMIT_BYTES",
    "ApiToken",
    "AuditLog",
    "Autostop",
    "Base",
    "Chat",
    "Circuit",
    "Event",
    "File",
    "Group",
    "GroupMember",
    "JobLease",
    "LimitRow",
    "Organization",
    "OrganizationMember",
    "ProvisionerDaemon",
    "ProvisionerJob",
    "ProvisionerJobLog",
    "ProvisionerJobTiming",
    "QueuePause",
    "QuotaAccount",
    "ReplacedState",
    "Template",
    "TemplateVersion",
    "TemplateVersionDryRun",
    "TemplateVersionParameter",
    "TemplateVersionPreset",
    "TemplateVersionPresetParameter",
    "TemplateVersionPresetPrebuildSchedule",
    "TemplateVersionTerraformValues",
    "TemplateVersionVariable",
    "TemplateVersionWorkspaceTag",
    "User",
    "Webhook",
    "WebhookDelivery",
    "Workspace",
    "WorkspaceAgent",
    "WorkspaceAgentDevcontainer",
    "WorkspaceAgentLogSource",
    "WorkspaceAgentMemoryResourceMonitor",
    "WorkspaceAgentMetadatum",
    "WorkspaceAgentScript",
    "WorkspaceAgentVolumeResourceMonitor",
    "WorkspaceApp",
    "WorkspaceBuild",
    "WorkspaceBuildParameter",
    "WorkspaceModule",
    "WorkspaceResource",
    "WorkspaceResourceMetadata",
]
