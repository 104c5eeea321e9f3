"""The data sources about the workspace, its owner and the machine that provisions it."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

from tests.providers.coder import access
from tests.providers.coder.environment import flag, required, text
from tests.providers.findings import Refusal
from tests.providers.kinds import DataSource, leave, new_id
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    NUMBER,
    STRING,
    STRING_MAP,
    STRINGS,
    ObjectList,
    Values,
    computed,
    optional,
)

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv6l": "armv7", "armv7l": "armv7"}


def _fill_workspace(values: Values) -> None:
    transition = text("CODER_WORKSPACE_TRANSITION", "start")
    is_claim = flag("CODER_WORKSPACE_IS_PREBUILD_CLAIM")
    is_prebuild = flag("CODER_WORKSPACE_IS_PREBUILD") and not is_claim
    values |= {
        "id": text("CODER_WORKSPACE_ID") or new_id(),
        "name": text("CODER_WORKSPACE_NAME", "default"),
        "transition": transition,
        "start_count": int(transition == "start"),
        "prebuild_count": int(is_prebuild),
        "is_prebuild": is_prebuild,
        "is_prebuild_claim": is_claim,
        "access_url": access.url(),
        "access_port": access.port(),
        "template_id": required("CODER_WORKSPACE_TEMPLATE_ID", "template ID"),
        "template_name": required("CODER_WORKSPACE_TEMPLATE_NAME", "template name"),
        "template_version": required("CODER_WORKSPACE_TEMPLATE_VERSION", "template version"),
    }


def _fill_owner(values: Values) -> None:
    owner = "CODER_WORKSPACE_OWNER"
    values |= {
        "id": text(f"{owner}_ID") or new_id(),
        "name": text(owner, "default"),
        "full_name": text(f"{owner}_NAME", "default"),
        "email": text(f"{owner}_EMAIL", "default@example.com"),
        "ssh_public_key": text(f"{owner}_SSH_PUBLIC_KEY"),
        "ssh_private_key": text(f"{owner}_SSH_PRIVATE_KEY"),
        "groups": _listed(f"{owner}_GROUPS", "user groups"),
        "session_token": text(f"{owner}_SESSION_TOKEN"),
        "oidc_access_token": text(f"{owner}_OIDC_ACCESS_TOKEN"),
        "login_type": text(f"{owner}_LOGIN_TYPE") or None,
        "rbac_roles": [
            {"name": role.get("name", ""), "org_id": role.get("org_id", "")}
            for role in _listed(f"{owner}_RBAC_ROLES", "user rbac roles")
        ],
    }


def _listed(name: str, what: str) -> list[Any]:
    """Return a JSON list; here an empty variable is not the same as none."""
    try:
        return json.loads(os.environ.get(name, "null")) or []
    except ValueError as error:
        raise Refusal(f"invalid {what}: {error}") from None


def _fill_provisioner(values: Values) -> None:
    machine = platform.machine().lower()
    values |= {
        "os": platform.system().lower(),
        "arch": _ARCHITECTURES.get(machine, machine),
    }


WORKSPACE = DataSource(
    name="workspace",
    parts=(
        IDENTITY,
        computed("name", STRING),
        computed("transition", STRING),
        computed("start_count", NUMBER),
        computed("prebuild_count", NUMBER),
        computed("is_prebuild", BOOL),
        computed("is_prebuild_claim", BOOL),
        computed("access_url", STRING),
        computed("access_port", NUMBER),
        computed("template_id", STRING),
        computed("template_name", STRING),
        computed("template_version", STRING),
    ),
    fill=_fill_workspace,
)

OWNER = DataSource(
    name="workspace_owner",
    version=0,
    parts=(
        IDENTITY,
        computed("name", STRING),
        computed("full_name", STRING),
        computed("email", STRING),
        computed("ssh_public_key", STRING),
        computed("ssh_private_key", STRING, sensitive=True),
        computed("groups", STRINGS),
        computed("session_token", STRING, sensitive=True),
        computed("oidc_access_token", STRING, sensitive=True),
        computed("login_type", STRING),
        computed("rbac_roles", ObjectList("name", "org_id")),
    ),
    fill=_fill_owner,
)

PROVISIONER = DataSource(
    name="provisioner",
    parts=(IDENTITY, computed("os", STRING), computed("arch", STRING)),
    fill=_fill_provisioner,
)

# Tags are read from the source by the platform; the provider never evaluates them.
TAGS = DataSource(name="workspace_tags", parts=(IDENTITY, optional("tags", STRING_MAP)), fill=leave)
