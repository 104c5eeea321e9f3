"""Agents of workspaces, and the apps, scripts and monitors that belong to each."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ForeignKey,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.agentenums import (
    AgentKeyScope,
    AgentLifecycleState,
    AppHealth,
    AppOpenIn,
    AppSharingLevel,
    DisplayApp,
    MonitorState,
)
from db.schema.tables.base import Base, CreatedAt, UpdatedAt, UuidPk
from db.schema.tables.workspaces import ZERO_TIME
from db.schema.types import enum_type

AgentFk = Annotated[
    uuid.UUID, mapped_column(ForeignKey("workspace_agents.id", ondelete="CASCADE"), index=True)
]
AgentPk = Annotated[
    uuid.UUID,
    mapped_column(ForeignKey("workspace_agents.id", ondelete="CASCADE"), primary_key=True),
]
FALSE, ZERO = text("false"), text("0")
DISPLAY_APPS = text("'{vscode,vscode_insiders,web_terminal,ssh_helper,port_forwarding_helper}'")


class WorkspaceAgent(Base):
    """The program inside of a workspace that connects it to the platform.

    A trigger refuses two agents of one name in one workspace build. The process that serves the
    agents writes when they connect; provisionerd does not serve them.
    """

    __tablename__ = "workspace_agents"

    id: Mapped[UuidPk]
    #: of a development container: the agent next to which it runs
    parent_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("workspace_agents.id", ondelete="CASCADE"), index=True
    )
    resource_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("workspace_resources.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(64))
    auth_token: Mapped[uuid.UUID] = mapped_column(index=True)
    auth_instance_id: Mapped[str | None]
    architecture: Mapped[str] = mapped_column(String(64))
    operating_system: Mapped[str] = mapped_column(String(64))
    environment_variables: Mapped[dict[str, str] | None] = mapped_column(JSONB(none_as_null=True))
    directory: Mapped[str] = mapped_column(String(4096), server_default="")
    expanded_directory: Mapped[str] = mapped_column(String(4096), server_default="")
    connection_timeout_seconds: Mapped[int] = mapped_column(server_default=ZERO)
    troubleshooting_url: Mapped[str] = mapped_column(server_default="")
    motd_file: Mapped[str] = mapped_column(server_default="")
    display_apps: Mapped[list[DisplayApp]] = mapped_column(
        ARRAY(enum_type(DisplayApp, "display_app")), server_default=DISPLAY_APPS
    )
    display_order: Mapped[int] = mapped_column(server_default=ZERO)
    api_key_scope: Mapped[AgentKeyScope] = mapped_column(server_default=AgentKeyScope.ALL.value)
    lifecycle_state: Mapped[AgentLifecycleState] = mapped_column(
        server_default=AgentLifecycleState.CREATED.value
    )
    version: Mapped[str] = mapped_column(server_default="")
    api_version: Mapped[str] = mapped_column(server_default="")
    first_connected_at: Mapped[datetime | None]
    last_connected_at: Mapped[datetime | None]
    disconnected_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    deleted: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class WorkspaceAgentMetadatum(Base):
    """A value that an agent measures repeatedly, by a script."""

    __tablename__ = "workspace_agent_metadata"

    workspace_agent_id: Mapped[AgentPk]
    key: Mapped[str] = mapped_column(String(127), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(127))
    script: Mapped[str] = mapped_column(String(65535))
    value: Mapped[str] = mapped_column(String(65535), server_default="")
    error: Mapped[str] = mapped_column(String(65535), server_default="")
    timeout: Mapped[int] = mapped_column(BigInteger)  #: seconds
    interval: Mapped[int] = mapped_column(BigInteger)  #: seconds
    collected_at: Mapped[datetime] = mapped_column(server_default=ZERO_TIME)
    display_order: Mapped[int] = mapped_column(server_default=ZERO)


class WorkspaceAgentLogSource(Base):
    """Where lines of an agent's log come from: one for each script."""

    __tablename__ = "workspace_agent_log_sources"

    workspace_agent_id: Mapped[AgentPk]
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    created_at: Mapped[CreatedAt]
    display_name: Mapped[str] = mapped_column(String(127))
    icon: Mapped[str] = mapped_column(server_default="")


class WorkspaceAgentScript(Base):
    """A script that an agent runs when the workspace starts or stops, or at times."""

    __tablename__ = "workspace_agent_scripts"

    id: Mapped[UuidPk]
    workspace_agent_id: Mapped[AgentFk]
    log_source_id: Mapped[uuid.UUID]
    log_path: Mapped[str]
    created_at: Mapped[CreatedAt]
    script: Mapped[str]
    cron: Mapped[str]
    start_blocks_login: Mapped[bool]
    run_on_start: Mapped[bool]
    run_on_stop: Mapped[bool]
    timeout_seconds: Mapped[int]
    display_name: Mapped[str]


class WorkspaceAgentDevcontainer(Base):
    """A development container in a workspace."""

    __tablename__ = "workspace_agent_devcontainers"

    id: Mapped[UuidPk]
    workspace_agent_id: Mapped[AgentFk]
    created_at: Mapped[CreatedAt]
    name: Mapped[str]
    workspace_folder: Mapped[str]
    config_path: Mapped[str]
    #: the agent of the container, if something runs in it
    subagent_id: Mapped[uuid.UUID | None]


class _Monitor:
    """A share of something above which the user of a workspace is told."""

    enabled: Mapped[bool]
    threshold: Mapped[int]  #: percent
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    state: Mapped[MonitorState] = mapped_column(server_default=MonitorState.OK.value)
    debounced_until: Mapped[datetime] = mapped_column(server_default=ZERO_TIME)


class WorkspaceAgentMemoryResourceMonitor(_Monitor, Base):
    """A monitor of memory."""

    __tablename__ = "workspace_agent_memory_resource_monitors"

    agent_id: Mapped[AgentPk]


class WorkspaceAgentVolumeResourceMonitor(_Monitor, Base):
    """A monitor of a volume."""

    __tablename__ = "workspace_agent_volume_resource_monitors"

    agent_id: Mapped[AgentPk]
    path: Mapped[str] = mapped_column(primary_key=True)


class WorkspaceApp(Base):
    """A program that the user of a workspace opens, by a link or a command.

    Its id is the one in Terraform's state: the next build of the workspace takes the row over.
    """

    __tablename__ = "workspace_apps"

    id: Mapped[UuidPk]
    created_at: Mapped[CreatedAt]
    agent_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("workspace_agents.id", ondelete="CASCADE")
    )
    slug: Mapped[str]
    display_name: Mapped[str] = mapped_column(String(64))
    icon: Mapped[str] = mapped_column(String(256))
    command: Mapped[str | None] = mapped_column(String(65534))
    url: Mapped[str | None] = mapped_column(String(65534))
    external: Mapped[bool] = mapped_column(server_default=FALSE)
    subdomain: Mapped[bool] = mapped_column(server_default=FALSE)
    sharing_level: Mapped[AppSharingLevel] = mapped_column(
        server_default=AppSharingLevel.OWNER.value
    )
    healthcheck_url: Mapped[str] = mapped_column(server_default="")
    healthcheck_interval: Mapped[int] = mapped_column(server_default=ZERO)  #: seconds
    healthcheck_threshold: Mapped[int] = mapped_column(server_default=ZERO)
    health: Mapped[AppHealth] = mapped_column(server_default=AppHealth.DISABLED.value)
    display_order: Mapped[int] = mapped_column(server_default=ZERO)
    display_group: Mapped[str | None] = mapped_column(String(64))
    hidden: Mapped[bool] = mapped_column(server_default=FALSE)
    open_in: Mapped[AppOpenIn] = mapped_column(server_default=AppOpenIn.SLIM_WINDOW.value)
    tooltip: Mapped[str] = mapped_column(String(2048), server_default="")

    __table_args__ = (UniqueConstraint("agent_id", "slug"),)
