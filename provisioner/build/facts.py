"""The facts about a build that its template is told."""

from __future__ import annotations

from collections.abc import Mapping

from db.jobs.builds import BuildInput
from db.schema.enums import Transition
from db.schema.roles import PREBUILDS_USER_ID
from provisioner.build.attempt import Attempt
from provisioner.build.environment import WorkerFacts, WorkspaceFacts, build_environment
from provisioner.build.parameters import ParameterFacts
from provisioner.platform.hook import BuildSecrets
from provisioner.platform.platform import OwnerFacts, agent_entries, owner_entries


def environment_of(build: Attempt, secrets: BuildSecrets) -> dict[str, str]:
    """Return the environment of the build's commands."""
    loaded = build.loaded
    owner = owner_entries(_owner(loaded), secrets)
    return build_environment(
        worker_facts(build, {**agent_entries(build.settings.platform), **owner}),
        WorkspaceFacts(
            transition=loaded.transition,
            workspace_id=loaded.workspace_id,
            workspace_name=loaded.workspace_name,
            owner_id=loaded.owner_id,
            owner_name=loaded.owner_name,
            owner_email=loaded.owner_email,
            owner_full_name=loaded.owner_full_name,
            owner_groups=tuple(loaded.owner_groups),
            build_id=loaded.build_id,
            template_id=loaded.template_id,
            template_name=loaded.template_name,
            template_version=loaded.template_version,
            is_prebuild=_is_prebuild(loaded),
        ),
        ParameterFacts(
            values=loaded.parameters,
            previous=loaded.previous_parameters,
            may_omit=loaded.transition is Transition.DELETE,
        ),
    )


def worker_facts(attempt: Attempt, platform: Mapping[str, str]) -> WorkerFacts:
    """Return what the worker gives to the commands of an attempt, with that of the platform."""
    settings = attempt.settings
    return WorkerFacts(
        host=settings.host_environment,
        home=attempt.directory.home,
        terraform_cli_config_file=settings.terraform_cli_config_file,
        plugin_cache_dir=settings.plugin_cache_dir,
        platform=platform,
        passed_names=settings.passed_names,
    )


def _is_prebuild(loaded: BuildInput) -> bool:
    return loaded.owner_id == PREBUILDS_USER_ID and loaded.transition is Transition.START


def _owner(loaded: BuildInput) -> OwnerFacts:
    is_member = loaded.organization_roles is not None
    return OwnerFacts(
        login_type=loaded.owner_login_type,
        site_roles=tuple(loaded.owner_roles),
        organization_id=loaded.organization_id if is_member else None,
        organization_roles=tuple(loaded.organization_roles or ()),
    )
