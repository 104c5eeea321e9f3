"""What a worker knows of the platform, and the environment that follows from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from provisioner.platform.hook import BuildHook, BuildSecrets

_NO_TASK = str(UUID(int=0))


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The platform that the workspaces belong to."""

    access_url: str = ""  #: where agents and users reach it; empty if there is none
    agent_scripts: Mapping[str, str] = field(default_factory=dict)  #: by ``<os>_<arch>``
    hook: BuildHook | None = None


@dataclass(frozen=True, kw_only=True)
class OwnerFacts:
    """What the rows say of the owner of a workspace."""

    login_type: str
    site_roles: tuple[str, ...] = ()
    organization_id: UUID | None = None  #: None if the owner is not a member any more
    organization_roles: tuple[str, ...] = ()


def agent_entries(platform: Platform) -> dict[str, str]:
    """Return what templates need to start agents; nothing if the platform has no URL.

    Without a URL the provider takes a placeholder; an empty one would be an error to it.
    """
    if not platform.access_url:
        return {}
    scripts = {f"CODER_AGENT_SCRIPT_{name}": text for name, text in platform.agent_scripts.items()}
    return {"CODER_AGENT_URL": platform.access_url, **scripts}


def owner_entries(owner: OwnerFacts, secrets: BuildSecrets) -> dict[str, str]:
    """Return the facts and secrets of the owner; a secret that is not known is empty."""
    return {
        "CODER_WORKSPACE_OWNER_LOGIN_TYPE": owner.login_type,
        "CODER_WORKSPACE_OWNER_RBAC_ROLES": json.dumps(list(_roles(owner))),
        "CODER_WORKSPACE_OWNER_SESSION_TOKEN": secrets.session_token,
        "CODER_WORKSPACE_OWNER_OIDC_ACCESS_TOKEN": secrets.oidc_access_token,
        "CODER_WORKSPACE_OWNER_SSH_PUBLIC_KEY": secrets.ssh_public_key,
        "CODER_WORKSPACE_OWNER_SSH_PRIVATE_KEY": secrets.ssh_private_key,
        "CODER_TASK_ID": secrets.task_id or _NO_TASK,
        "CODER_TASK_PROMPT": secrets.task_prompt,
        **dict(_external_auth(secrets)),
    }


def _roles(owner: OwnerFacts) -> Iterator[dict[str, str]]:
    """Yield the roles, with those that every user and every member has."""
    for name in sorted({"member", *owner.site_roles}):
        yield {"name": name}
    if owner.organization_id is not None:
        for name in sorted({"organization-member", *owner.organization_roles}):
            yield {"name": name, "org_id": str(owner.organization_id)}


def _external_auth(secrets: BuildSecrets) -> Iterator[tuple[str, str]]:
    for service, token in secrets.external_auth.items():
        # Such a name cannot be in an environment, so no provider looks for it.
        if service and "=" not in service and "\0" not in service:
            yield f"CODER_EXTERNAL_AUTH_ACCESS_TOKEN_{service}", token
            yield f"CODER_GIT_AUTH_ACCESS_TOKEN_{service}", token
