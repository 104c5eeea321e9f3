"""The resource ``coder_agent``."""

from __future__ import annotations

import hashlib
from typing import Any

from tf.types import Unknown

from tests.providers.checks import at_least, between, one_of, quoted, whole
from tests.providers.coder import access
from tests.providers.coder.environment import text
from tests.providers.findings import Findings
from tests.providers.kinds import Resource, new_id
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    NUMBER,
    STRING,
    STRING_MAP,
    Field,
    Nested,
    Values,
    computed,
    optional,
    required,
)

# The hash of no text: the agent's id is not known when the token is looked up.
_NO_ID = hashlib.sha256(b"").hexdigest()
RUNNING_TOKEN = f"CODER_RUNNING_WORKSPACE_AGENT_TOKEN_{_NO_ID}"
_HOME = {"", "$HOME", "~"}
_DISPLAY_APPS = {
    "vscode": True,
    "vscode_insiders": False,
    "web_terminal": True,
    "port_forwarding_helper": True,
    "ssh_helper": True,
}


def duplicates(
    findings: Findings, blocks: list[dict[str, Any]], name: str, what: str, path: str
) -> None:
    """Report a value that more than one block has."""
    seen: set[str] = set()
    for block in blocks:
        value = block[name]
        if isinstance(value, str) and value in seen:
            findings.error(f"duplicate {what} {quoted(value)}", path=path)
        elif isinstance(value, str):
            seen.add(value)


def _plan(findings: Findings, values: Values) -> None:
    duplicates(findings, _blocks(values["metadata"]), "key", "agent metadata key", "metadata")
    for monitoring in _blocks(values["resources_monitoring"]):
        volumes = _blocks(monitoring["volume"])
        if not volumes and not monitoring["memory"]:
            findings.error(
                "resources_monitoring must define at least one monitor",
                path="resources_monitoring",
            )
        duplicates(findings, volumes, "path", "volume path", "resources_monitoring")


def _blocks(value: Any) -> list[dict[str, Any]]:
    return [] if value is None or value is Unknown else value


def _create(_findings: Findings, values: Values) -> None:
    _refresh(values)


def _refresh(values: Values) -> None:
    # The real provider makes a new token at each read, so whatever embeds it changes.
    values["token"] = text(RUNNING_TOKEN) or new_id()
    values["init_script"] = _init_script(values)
    if not _blocks(values["display_apps"]):
        values["display_apps"] = [dict(_DISPLAY_APPS)]


def _init_script(values: Values) -> str:
    script = text(f"CODER_AGENT_SCRIPT_{values['os']}_{values['arch']}")
    script = script.replace("${ACCESS_URL}", access.root())
    return script.replace("${AUTH_TYPE}", values["auth"])


def _directory(findings: Findings, path: str, value: str) -> None:
    if value in _HOME:
        return
    findings.warn(
        "dir is deprecated", "The attribute will be removed in a later version.", path=path
    )
    findings.warn(
        "dir is not the home directory",
        "The directory must exist before the agent starts.",
        path=path,
    )


def _absolute(findings: Findings, path: str, value: str) -> None:
    if not value:
        findings.error("volume path must not be empty", path=path)
    elif not value.startswith("/"):
        findings.error("volume path must be an absolute path", path=path)


_METADATA = Nested(
    name="metadata",
    parts=(
        required("key", STRING),
        required("script", STRING),
        required("interval", NUMBER, whole),
        optional("display_name", STRING),
        optional("timeout", NUMBER, whole),
        optional("order", NUMBER, whole),
    ),
)

_MONITORS = (
    required("enabled", BOOL),
    required("threshold", NUMBER, whole, between(0, 100)),
)

_MONITORING = Nested(
    name="resources_monitoring",
    is_set=True,
    most=1,
    parts=(
        Nested(name="memory", is_set=True, most=1, parts=_MONITORS),
        Nested(name="volume", is_set=True, parts=(required("path", STRING, _absolute), *_MONITORS)),
    ),
)

AGENT = Resource(
    name="agent",
    plan=_plan,
    create=_create,
    refresh=_refresh,
    parts=(
        IDENTITY,
        required("os", STRING, one_of("linux", "darwin", "windows")),
        required("arch", STRING, one_of("amd64", "armv7", "arm64")),
        optional(
            "auth",
            STRING,
            one_of(
                "token",
                "google-instance-identity",
                "aws-instance-identity",
                "azure-instance-identity",
            ),
            default="token",
        ),
        optional("api_key_scope", STRING, one_of("all", "no_user_data"), default="all"),
        Field(name="dir", type=STRING, optional=True, deprecated=True, checks=(_directory,)),
        optional("env", STRING_MAP),
        optional("startup_script", STRING),
        optional("shutdown_script", STRING),
        optional(
            "startup_script_behavior",
            STRING,
            one_of("blocking", "non-blocking"),
            default="non-blocking",
        ),
        optional("connection_timeout", NUMBER, whole, at_least(0), default=120),
        optional("troubleshooting_url", STRING),
        optional("motd_file", STRING),
        optional("order", NUMBER, whole),
        computed("init_script", STRING),
        computed("token", STRING, sensitive=True),
        _METADATA,
        Nested(
            name="display_apps",
            is_set=True,
            most=1,
            computed=True,
            parts=tuple(optional(name, BOOL, default=on) for name, on in _DISPLAY_APPS.items()),
        ),
        _MONITORING,
    ),
)
