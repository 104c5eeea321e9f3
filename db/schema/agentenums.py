"""The closed sets of values in the tables of agents and their apps, spelled as in Coder."""

from __future__ import annotations

from enum import StrEnum


class DisplayApp(StrEnum):
    """What a user sees of an agent besides its own apps."""

    VSCODE = "vscode"
    VSCODE_INSIDERS = "vscode_insiders"
    WEB_TERMINAL = "web_terminal"
    SSH_HELPER = "ssh_helper"
    PORT_FORWARDING_HELPER = "port_forwarding_helper"


class AgentKeyScope(StrEnum):
    """What an agent may read of its owner."""

    ALL = "all"
    NO_USER_DATA = "no_user_data"


class AgentLifecycleState(StrEnum):
    """How far an agent is with its scripts. The process that serves the agents writes it."""

    CREATED = "created"
    STARTING = "starting"
    START_TIMEOUT = "start_timeout"
    START_ERROR = "start_error"
    READY = "ready"
    SHUTTING_DOWN = "shutting_down"
    SHUTDOWN_TIMEOUT = "shutdown_timeout"
    SHUTDOWN_ERROR = "shutdown_error"
    OFF = "off"


class MonitorState(StrEnum):
    """Whether a monitored share is below its threshold."""

    OK = "OK"
    NOK = "NOK"


class AppSharingLevel(StrEnum):
    """Who may open an app."""

    OWNER = "owner"
    AUTHENTICATED = "authenticated"
    PUBLIC = "public"


class AppHealth(StrEnum):
    """What the health check of an app says. The process that serves the agents writes it."""

    DISABLED = "disabled"  #: the app has no health check
    INITIALIZING = "initializing"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class AppOpenIn(StrEnum):
    """How a browser opens an app."""

    TAB = "tab"
    SLIM_WINDOW = "slim-window"
