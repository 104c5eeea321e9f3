"""The secrets of a build, which the platform's hook gives."""

from __future__ import annotations

from typing import Any

from db.jobs.builds import BuildInput
from db.schema.enums import LogLevel, Transition
from provisioner.build.attempt import Attempt
from provisioner.build.endings import BuildInterruptedError
from provisioner.platform.hook import BuildHookError, BuildSecrets, HookError, HookRequest


def ask_platform(build: Attempt) -> BuildSecrets:
    """Return the secrets that the hook gives; none without a hook.

    A workspace that exists can still be stopped and deleted when the hook fails, or does not know
    the owner any more: the log says so, and the build goes on without secrets.

    Raises:
        BuildHookError: the hook failed, and the build is a start.
        BuildInterruptedError: the build was interrupted.
    """
    hook = build.settings.platform.hook
    if hook is None:
        return BuildSecrets()
    try:
        return hook(_request(build), build.interrupt)
    except HookError as error:
        if build.interrupt.is_set():
            raise BuildInterruptedError from error
        message = f"the platform did not give the secrets of the build: {error}"
        if build.loaded.transition is Transition.START:
            raise BuildHookError(message) from error
        build.log_line(LogLevel.WARN, f"{message}; going on without them")
        return BuildSecrets()


def _request(build: Attempt) -> HookRequest:
    loaded = build.loaded
    return HookRequest(build_id=str(loaded.build_id), attempt=build.job.claim, facts=_facts(loaded))


def _facts(loaded: BuildInput) -> dict[str, Any]:
    return {
        "transition": loaded.transition.value,
        "build_number": loaded.build_number,
        "workspace": {"id": str(loaded.workspace_id), "name": loaded.workspace_name},
        "owner": {
            "id": str(loaded.owner_id),
            "username": loaded.owner_name,
            "email": loaded.owner_email,
        },
        "organization_id": str(loaded.organization_id),
        "template": {
            "id": str(loaded.template_id),
            "name": loaded.template_name,
            "version": loaded.template_version,
        },
        "external_auth": [dict(service) for service in loaded.external_auth],
    }
