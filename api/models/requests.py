"""The bodies of requests."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BeforeValidator, Field

from api.models.fields import Base64, GivenId, Many, Name, RequestModel, Text, Value
from db.schema.enums import AutomaticUpdates, BuildReason, ProvisionerType, Transition
from db.schema.roles import OrganizationRole, SiteRole

MAX_PARAMETERS = 1000
MAX_ROLES = 20
MAX_TTL_MS = 2**63 // 10**6 - 1  #: stored as nanoseconds in 64 bits
GivenReason = Literal[
    BuildReason.DASHBOARD,
    BuildReason.CLI,
    BuildReason.SSH_CONNECTION,
    BuildReason.VSCODE_CONNECTION,
    BuildReason.JETBRAINS_CONNECTION,
    BuildReason.TASK_MANUAL_PAUSE,
]
"""The reasons that a client may give. The others are those of the platform itself."""


class GivenValue(RequestModel):
    """The value of a parameter or of a variable."""

    name: Text
    value: Value


class CreateToken(RequestModel):
    """A token for oneself or, by an owner, for another user."""

    lifetime: int = Field(0, ge=0, le=2**62, description="nanoseconds; 0 means the default")
    token_name: Name = ""
    scope: str = Field("", max_length=64, description="read, build, operate or admin")
    scopes: Many[str] = Field([], max_length=MAX_ROLES)


class Login(RequestModel):
    """Refused: there are no passwords here."""

    email: Text = ""
    password: Text = ""


class CreateUser(RequestModel):
    """A new user."""

    email: Text
    username: Name
    name: Text = ""
    organization_ids: Many[UUID] = Field([], max_length=100)
    roles: Many[SiteRole] = Field([], max_length=MAX_ROLES)


class SiteRoles(RequestModel):
    """The roles that a user has in the whole site."""

    roles: Many[SiteRole] = Field(max_length=MAX_ROLES)


class MemberRoles(RequestModel):
    """The roles that a member has in an organization."""

    roles: Many[OrganizationRole] = Field(max_length=MAX_ROLES)


class CreateVersion(RequestModel):
    """A new version of a template, or of none yet."""

    name: Name = ""
    message: Annotated[str, Field(max_length=1_048_576)] = ""
    template_id: GivenId = None
    storage_method: str = Field("file", pattern="^file$")
    file_id: GivenId = None
    example_id: Text = ""
    provisioner: ProvisionerType
    tags: Annotated[
        dict[str, Text], BeforeValidator(lambda given: {} if given is None else given)
    ] = Field(default_factory=dict)
    user_variable_values: Many[GivenValue] = Field([], max_length=MAX_PARAMETERS)


class PushTemplate(RequestModel):
    """The next version of a template, which is created if it does not exist."""

    file_id: UUID
    provisioner: ProvisionerType = ProvisionerType.TERRAFORM
    version_name: Name = Field("", description="empty: the next free one")
    message: Annotated[str, Field(max_length=1_048_576)] = ""
    tags: dict[str, Text] = Field(default_factory=dict)
    user_variable_values: Many[GivenValue] = Field([], max_length=MAX_PARAMETERS)
    activate: bool = Field(True, description="become active when the import has succeeded")


class EditVersion(RequestModel):
    """A new name or message of a template version."""

    name: Name = ""
    message: Annotated[str, Field(max_length=1_048_576)] | None = None


class Extension(RequestModel):
    """Until when a workspace should run."""

    deadline: AwareDatetime


class CreateTemplate(RequestModel):
    """A template, with its first version."""

    name: Name
    template_version_id: UUID
    display_name: Name = ""
    description: Annotated[str, Field(max_length=127)] = ""
    icon: Annotated[str, Field(max_length=256)] = ""
    allow_user_cancel_workspace_jobs: bool | None = None
    require_active_version: bool = False
    default_ttl_ms: int | None = Field(None, ge=0, le=MAX_TTL_MS)
    activity_bump_ms: int | None = Field(None, ge=0, le=MAX_TTL_MS)


class EditTemplate(RequestModel):
    """Changes to a template; a field that is absent or null stays as it is."""

    name: Name | None = None
    display_name: Name | None = None
    description: Annotated[str, Field(max_length=127)] | None = None
    icon: Annotated[str, Field(max_length=256)] | None = None
    allow_user_cancel_workspace_jobs: bool | None = None
    require_active_version: bool | None = None
    default_ttl_ms: int | None = Field(None, ge=0, le=MAX_TTL_MS)
    activity_bump_ms: int | None = Field(None, ge=0, le=MAX_TTL_MS)
    deprecation_message: Text | None = None
    disable_module_cache: bool | None = None


class Promote(RequestModel):
    """The version to make active."""

    id: UUID


class ArchiveVersions(RequestModel):
    """Which unused versions to archive."""

    all: bool = Field(False, description="not only those whose import failed")


class DryRun(RequestModel):
    """The values to plan with. Coder's clients only plan new workspaces, without a preset."""

    workspace_name: Name = ""
    workspace_id: GivenId = Field(None, description="plan the next start of this workspace")
    template_version_preset_id: GivenId = None
    rich_parameter_values: Many[GivenValue] = Field([], max_length=MAX_PARAMETERS)
    user_variable_values: Many[GivenValue] = Field([], max_length=MAX_PARAMETERS)


class BuildValues(RequestModel):
    """The values of a build."""

    rich_parameter_values: Many[GivenValue] = Field([], max_length=MAX_PARAMETERS)
    ephemeral_parameter_values: Many[GivenValue] = Field(
        [], max_length=MAX_PARAMETERS, description="refused for parameters that keep their values"
    )
    template_version_preset_id: GivenId = None
    preset: Text = Field("", description="its name, if it is not named by its id")


class CreateWorkspace(BuildValues):
    """A workspace, with its first build."""

    template_id: GivenId = None
    template_version_id: GivenId = None
    name: Name
    autostart_schedule: Text | None = None
    ttl_ms: int | None = Field(None, ge=0, le=MAX_TTL_MS)
    automatic_updates: AutomaticUpdates | None = None


class CreateBuild(BuildValues):
    """A build of a workspace."""

    template_version_id: GivenId = None
    template_version_name: Name = Field("", description="the version, if not named by its id")
    update: bool = Field(False, description="build from the active version")
    transition: Transition
    dry_run: bool = False
    state: Base64 | None = None
    orphan: bool | None = None
    log_level: str = Field("", pattern="^(debug)?$")
    reason: GivenReason | Literal[""] = ""


class EditWorkspace(RequestModel):
    """A new name of a workspace."""

    name: Name = ""


class Dormancy(RequestModel):
    """Whether the workspace is dormant."""

    dormant: bool


class Schedule(RequestModel):
    """When the workspace starts automatically; absent: never."""

    schedule: Text | None = None


class TimeToLive(RequestModel):
    """How long the workspace runs; null: until somebody stops it."""

    ttl_ms: int | None = Field(None, ge=0, le=MAX_TTL_MS)


class Updates(RequestModel):
    """Whether the workspace follows the template's active version."""

    automatic_updates: AutomaticUpdates


class PushState(RequestModel):
    """A Terraform state."""

    state: Base64


class AuthChecks(RequestModel):
    """Questions about rights, by a key of the client's choice."""

    checks: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=200)
