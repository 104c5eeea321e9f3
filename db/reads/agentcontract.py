"""The part of the contract about agents of workspaces and what runs in them."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import Field

from db.reads.contractbase import ContractModel, UtcTime
from db.schema.agentenums import (
    AgentLifecycleState,
    AppHealth,
    AppOpenIn,
    AppSharingLevel,
    DisplayApp,
)


class AgentStatus(StrEnum):
    """Whether an agent is connected to the process that serves agents."""

    CONNECTING = "connecting"  #: not yet, since the build
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    TIMEOUT = "timeout"  #: not yet, for longer than the template allows


class StartupScriptBehavior(StrEnum):
    """Whether a user waits for the scripts of the start before they log in."""

    BLOCKING = "blocking"
    NON_BLOCKING = "non-blocking"


class WorkspaceAppHealthcheck(ContractModel):
    """How the health of an app is checked."""

    url: str = Field(description="empty if it is not checked")
    interval: int = Field(description="seconds between two checks")
    threshold: int = Field(description="failed checks in a row until the app is unhealthy")


class WorkspaceApp(ContractModel):
    """A program that the user of a workspace opens, by a link or a command."""

    id: UUID
    slug: str = Field(description="its name in links, unique in the template")
    display_name: str
    icon: str
    url: str | None = None
    command: str | None = None
    external: bool = Field(description="whether the link leads out of the workspace")
    subdomain: bool = Field(description="whether it is served on a domain of its own")
    sharing_level: AppSharingLevel
    healthcheck: WorkspaceAppHealthcheck
    health: AppHealth
    group: str | None = Field(None, description="a heading above several apps")
    hidden: bool
    open_in: AppOpenIn
    tooltip: str | None = None


class WorkspaceAgentScript(ContractModel):
    """A script that an agent runs when the workspace starts or stops, or at times."""

    id: UUID
    log_source_id: UUID
    display_name: str
    log_path: str
    script: str
    cron: str = Field(description="when it runs, in six fields; empty if at no time of its own")
    run_on_start: bool
    run_on_stop: bool
    start_blocks_login: bool
    timeout: int = Field(description="nanoseconds; 0 is for ever")


class WorkspaceAgentLogSource(ContractModel):
    """Where lines of an agent's log come from."""

    workspace_agent_id: UUID
    id: UUID
    created_at: UtcTime
    display_name: str
    icon: str


class WorkspaceAgentHealth(ContractModel):
    """Whether an agent is in order."""

    healthy: bool
    reason: str | None = Field(None, description="why not, for people")


class WorkspaceAgent(ContractModel):
    """The program inside of a workspace that connects it to the platform."""

    id: UUID
    parent_id: UUID | None = Field(
        None, description="of a development container: the agent next to which it runs"
    )
    created_at: UtcTime
    updated_at: UtcTime
    first_connected_at: UtcTime | None = None
    last_connected_at: UtcTime | None = None
    disconnected_at: UtcTime | None = None
    started_at: UtcTime | None = None
    ready_at: UtcTime | None = None
    status: AgentStatus
    lifecycle_state: AgentLifecycleState
    name: str
    resource_id: UUID
    instance_id: str | None = Field(None, description="of the machine, if it signs in by its cloud")
    architecture: str
    operating_system: str
    environment_variables: dict[str, str]
    directory: str
    expanded_directory: str
    version: str = Field(description="of the agent; empty before it connects")
    api_version: str
    connection_timeout_seconds: int = Field(description="0 is for ever")
    troubleshooting_url: str
    health: WorkspaceAgentHealth
    display_apps: list[DisplayApp] = Field(description="what is shown besides its own apps")
    apps: list[WorkspaceApp]
    scripts: list[WorkspaceAgentScript]
    log_sources: list[WorkspaceAgentLogSource]
    startup_script_behavior: StartupScriptBehavior
    subsystems: list[str] = Field(description="always empty: agents do not connect here")
    logs_length: int = Field(description="always 0: agents do not connect here")
    logs_overflowed: bool = Field(description="always false: agents do not connect here")
