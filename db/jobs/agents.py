"""Agents and what runs in them, as typed values. A resource of a workspace hosts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class App:
    """A program that the user of a workspace opens, by a link or a command."""

    slug: str
    id: str = ""  #: that Terraform gave it; empty before the apply
    display_name: str = ""
    icon: str = ""
    command: str = ""
    url: str = ""
    external: bool = False
    subdomain: bool = False
    sharing_level: str = "owner"  #: owner, authenticated or public
    healthcheck_url: str = ""
    healthcheck_interval_s: int = 0
    healthcheck_threshold: int = 0
    order: int = 0
    group: str = ""
    hidden: bool = False
    open_in: str = "slim-window"  #: slim-window or tab
    tooltip: str = ""


@dataclass(frozen=True, kw_only=True)
class Script:
    """A script that an agent runs when the workspace starts, stops, or at times."""

    display_name: str
    script: str = ""
    icon: str = ""
    log_path: str = ""
    cron: str = ""
    timeout_s: int = 0
    start_blocks_login: bool = False
    run_on_start: bool = False
    run_on_stop: bool = False


@dataclass(frozen=True, kw_only=True)
class Devcontainer:
    """A development container in a workspace. It is an agent itself if something runs in it."""

    name: str
    workspace_folder: str = ""
    config_path: str = ""
    apps: tuple[App, ...] = ()
    scripts: tuple[Script, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_agent(self) -> bool:
        """Whether apps, scripts or environment variables are attached to it."""
        return bool(self.apps or self.scripts or self.environment)


@dataclass(frozen=True, kw_only=True)
class AgentMetadata:
    """A value that an agent measures repeatedly by a script."""

    key: str
    script: str = ""
    display_name: str = ""
    interval_s: int = 0
    timeout_s: int = 0
    order: int = 0


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """A share of memory, or of a volume, above which the user is told."""

    enabled: bool
    threshold: int  #: percent
    path: str = ""  #: of the volume; empty for memory


@dataclass(frozen=True, kw_only=True)
class Agent:
    """The program inside of a workspace that connects it to the platform."""

    name: str
    token: str = ""  #: a UUID; empty before the apply, and with another way to sign in
    instance_id: str = ""  #: of the machine, for an agent that signs in by its cloud
    architecture: str = ""
    operating_system: str = ""
    directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    connection_timeout_s: int = 120  #: 0 is for ever
    troubleshooting_url: str = ""
    motd_file: str = ""
    display_apps: tuple[str, ...] = ()
    order: int = 0
    api_key_scope: str = "all"  #: or no_user_data
    apps: tuple[App, ...] = ()
    scripts: tuple[Script, ...] = ()
    devcontainers: tuple[Devcontainer, ...] = ()
    metadata: tuple[AgentMetadata, ...] = ()
    memory: Monitor | None = None
    volumes: tuple[Monitor, ...] = ()
