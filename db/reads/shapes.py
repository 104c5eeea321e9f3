"""What the HTTP API answers about people, templates and workspaces, as pydantic models.

Names and types are those of Coder's ``codersdk``, as in ``db.reads.contract``. A field that this
project has nothing for has the value that Coder gives it when the feature is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from db.reads.contract import (
    ContractModel,
    MatchedProvisioners,
    ProvisionerJob,
    UtcTime,
    WorkspaceBuild,
)
from db.schema.enums import AutomaticUpdates, ProvisionerType, UserStatus

NO_ID = UUID(int=0)
NO_TIME = datetime(1, 1, 1, tzinfo=UTC)


class Role(ContractModel):
    """A role, and the organization in which it counts."""

    name: str
    display_name: str
    organization_id: UUID | None = Field(None, description="absent: a role of the whole site")


class MinimalUser(ContractModel):
    """Who made something."""

    id: UUID
    username: str
    name: str = ""
    avatar_url: str = ""


class User(MinimalUser):
    """A user."""

    email: str
    created_at: UtcTime
    updated_at: UtcTime
    last_seen_at: UtcTime = Field(description="when a token of the user was last used")
    status: UserStatus
    login_type: str = "token"
    theme_preference: str = ""
    organization_ids: list[UUID]
    roles: list[Role]
    has_ai_seat: bool = False


class Users(ContractModel):
    """A page of users."""

    users: list[User]
    count: int = Field(description="number of users on all pages")


class Organization(ContractModel):
    """An organization."""

    id: UUID
    name: str
    display_name: str
    icon: str = ""
    description: str
    created_at: UtcTime
    updated_at: UtcTime
    is_default: bool


class Member(ContractModel):
    """A member of an organization."""

    user_id: UUID
    organization_id: UUID
    created_at: UtcTime
    updated_at: UtcTime
    username: str
    name: str
    email: str
    avatar_url: str
    status: UserStatus
    login_type: str = "token"
    last_seen_at: UtcTime = NO_TIME
    user_created_at: UtcTime
    user_updated_at: UtcTime
    roles: list[Role]
    global_roles: list[Role]
    has_ai_seat: bool = False


class BuildTimeStats(ContractModel):
    """How long builds of a template take. Not measured here, so both are null."""

    P50: int | None = None
    P95: int | None = None


class AutostopRequirement(ContractModel):
    """When workspaces must stop. There is no such requirement here."""

    days_of_week: Sequence[str] = ()
    weeks: int = 0


class AutostartRequirement(ContractModel):
    """On which days workspaces may start automatically."""

    days_of_week: Sequence[str] = ()


class Template(ContractModel):
    """A named line of template versions."""

    id: UUID
    created_at: UtcTime
    updated_at: UtcTime
    organization_id: UUID
    organization_name: str
    organization_display_name: str
    organization_icon: str = ""
    name: str
    display_name: str
    provisioner: ProvisionerType
    active_version_id: UUID
    active_user_count: int = Field(description="number of users who have a workspace of it")
    build_time_stats: Mapping[str, BuildTimeStats] = {
        "start": BuildTimeStats(),
        "stop": BuildTimeStats(),
        "delete": BuildTimeStats(),
    }
    description: str
    icon: str
    deprecated: bool = Field(description="whether no new workspaces are made of it")
    deprecation_message: str
    deleted: bool
    default_ttl_ms: int = Field(description="time to live of new workspaces; 0: none")
    activity_bump_ms: int = Field(description="how long a workspace runs at least after a use")
    autostop_requirement: AutostopRequirement = AutostopRequirement()
    autostart_requirement: AutostartRequirement = AutostartRequirement()
    created_by_id: UUID
    created_by_name: str
    allow_user_autostart: bool = False
    allow_user_autostop: bool = True
    allow_user_cancel_workspace_jobs: bool
    failure_ttl_ms: int = 0
    time_til_dormant_ms: int = 0
    time_til_dormant_autodelete_ms: int = 0
    require_active_version: bool
    max_port_share_level: str = "owner"
    cors_behavior: str = "simple"
    use_classic_parameter_flow: bool = Field(
        True, description="always true: clients ask for rich parameters"
    )
    disable_module_cache: bool


class TemplateVersion(ContractModel):
    """One pushed content of a template."""

    id: UUID
    template_id: UUID = Field(description="all zeros while it belongs to no template")
    organization_id: UUID
    created_at: UtcTime
    updated_at: UtcTime
    name: str
    message: str
    job: ProvisionerJob
    readme: str
    created_by: MinimalUser
    archived: bool
    matched_provisioners: MatchedProvisioners | None = None
    has_external_agent: bool


class WorkspaceHealth(ContractModel):
    """Whether the agents of a workspace are healthy. Agents do not run here."""

    healthy: bool = True
    failing_agents: Sequence[UUID] = ()


class Workspace(ContractModel):
    """A development machine of a user, with its latest build."""

    id: UUID
    created_at: UtcTime
    updated_at: UtcTime
    owner_id: UUID
    owner_name: str
    owner_avatar_url: str
    organization_id: UUID
    organization_name: str
    template_id: UUID
    template_name: str
    template_display_name: str
    template_icon: str
    template_allow_user_cancel_workspace_jobs: bool
    template_active_version_id: UUID
    template_require_active_version: bool
    template_use_classic_parameter_flow: bool = True
    latest_build: WorkspaceBuild
    outdated: bool = Field(description="whether the template's active version is another")
    name: str
    autostart_schedule: str | None = None
    ttl_ms: int | None = None
    last_used_at: UtcTime
    deleting_at: UtcTime | None = None
    dormant_at: UtcTime | None = None
    health: WorkspaceHealth = WorkspaceHealth()
    automatic_updates: AutomaticUpdates
    allow_renames: bool = True
    favorite: bool
    is_prebuild: bool = False


class Workspaces(ContractModel):
    """A page of workspaces."""

    workspaces: list[Workspace]
    count: int = Field(description="number of workspaces on all pages")


class DaemonJob(ContractModel):
    """A job that a worker runs or ran last."""

    id: UUID
    status: str
    template_name: str
    template_icon: str
    template_display_name: str


class ProvisionerDaemon(ContractModel):
    """A worker."""

    id: UUID
    organization_id: UUID
    key_id: UUID = UUID(int=1)
    created_at: UtcTime
    last_seen_at: UtcTime | None = None
    name: str
    version: str
    api_version: str
    provisioners: list[str]
    tags: dict[str, str]
    key_name: str = "built-in"
    status: str
    current_job: DaemonJob | None = None
    previous_job: DaemonJob | None = None


class NameValue(ContractModel):
    """A parameter of a build, and its value as text."""

    name: str
    value: str


class AuditLog(ContractModel):
    """A change that somebody made."""

    id: UUID
    time: UtcTime
    user_id: UUID | None = Field(None, description="absent: a user of the operating system")
    username: str
    organization_id: UUID = Field(description="all zeros: a change to the whole site")
    resource_type: str
    resource_id: UUID
    resource_target: str
    action: str
    diff: dict[str, Any]
    additional_fields: dict[str, Any]
