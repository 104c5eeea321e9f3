"""The platform as the settings of this worker describe it."""

from __future__ import annotations

from datetime import timedelta

from provisioner.platform.agentscripts import own_scripts, read_scripts
from provisioner.platform.hook import BuildHook
from provisioner.platform.httphook import HttpHook, key_of
from provisioner.platform.platform import Platform
from provisioner.platform.pythonhook import find_hook
from worker.settings import Settings, SettingsError


def platform_of(settings: Settings) -> Platform:
    """Return what the builds of this worker get of the platform.

    Raises:
        SettingsError: the build hook is not installed or cannot be imported.
    """
    folder = settings.agent_scripts_dir
    return Platform(
        access_url=settings.access_url,
        agent_scripts=read_scripts(folder) if folder else own_scripts(),
        hook=_hook(settings) if settings.build_hook else None,
    )


def _hook(settings: Settings) -> BuildHook:
    deadline = timedelta(seconds=settings.build_hook_seconds)
    if settings.build_hook_is_url:
        assert settings.build_hook_secret is not None
        key = key_of(settings.build_hook_secret.get_secret_value())
        return HttpHook(url=settings.build_hook, key=key, deadline=deadline)
    try:
        return find_hook(settings.build_hook, deadline=deadline)
    except Exception as error:
        raise SettingsError(f"PROVISIONERD_BUILD_HOOK cannot be used: {error}") from error
