"""The whole environment of a build's processes, made from an allowlist.

A template runs its author's code, even at plan time. The author can read the whole environment,
so a variable of the worker is only passed if it is named here or by the operator. Secrets of the
database, the broker and encryption are never passed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from uuid import UUID, uuid4

from db.schema.enums import Transition
from provisioner.build.entries import BuildEnvironmentError, check_entry
from provisioner.build.parameters import ParameterFacts, parameter_entries

FROM_HOST = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)

_NEVER_PASSED = (
    "PROVISIONERD_*",  # the daemon's own settings and secrets
    "CELERY_*",
    "CODER_*",  # the facts about the workspace are set below, and only there
    "TF_VAR_*",
    "TF_CLI_ARGS*",  # these change the meaning of our command lines
    "TF_CLI_CONFIG_FILE",
    "TF_DATA_DIR",
    "TF_INPUT",
    "TF_LOG*",
    "TF_PLUGIN_CACHE*",
    "TF_REATTACH_PROVIDERS",
    "TF_WORKSPACE",
    "LD_*",  # these change which code our programs run
    "DYLD_*",
    "BASH_ENV",
    "ENV",
    "HOME",
    "TMPDIR",
)

_WIRE_TRANSITIONS = {
    Transition.START: "start",
    Transition.STOP: "stop",
    Transition.DELETE: "destroy",
}


@dataclass(frozen=True, kw_only=True)
class WorkspaceFacts:
    """The facts about the workspace and the build that a template can read."""

    transition: Transition
    workspace_id: UUID
    workspace_name: str
    owner_id: UUID
    owner_name: str  #: the username
    build_id: UUID
    template_id: UUID
    template_name: str
    template_version: str  #: the version's name
    owner_email: str = ""
    owner_full_name: str = ""
    owner_groups: tuple[str, ...] = ()
    is_prebuild: bool = False  #: it is built before somebody asks for it


@dataclass(frozen=True, kw_only=True)
class WorkerFacts:
    """What the worker gives to every command of a template."""

    host: Mapping[str, str]  #: the worker's own environment; only allowed names are passed on
    home: Path
    """A private folder of the build, for ``HOME`` and ``TMPDIR``. Keep its path below 80 bytes:
    providers make Unix sockets in it, whose paths must stay below 108."""
    terraform_cli_config_file: Path | None  #: the operator's Terraform CLI configuration
    plugin_cache_dir: Path | None  #: an existing folder for provider packages
    platform: Mapping[str, str]  #: what the platform gives (``provisioner.platform``)
    passed_names: Sequence[str] = ()
    """Further names of ``host``, or patterns such as ``AWS_*``, that the operator passes to every
    template."""


def build_environment(
    worker: WorkerFacts, workspace: WorkspaceFacts, parameters: ParameterFacts
) -> dict[str, str]:
    """Return the environment of every process of one build.

    Args:
        workspace: the facts for ``CODER_WORKSPACE_*`` and ``TF_VAR_*``.
        parameters: values of this build and of the one before, for ``CODER_PARAMETER_*``.

    Raises:
        BuildEnvironmentError: ``passed_names`` matches a name that must not be passed, or a
            value cannot be stored in an environment.
    """
    return _checked(
        {
            **_worker_entries(worker),
            **_workspace_entries(workspace),
            **worker.platform,
            **dict(parameter_entries(parameters)),
            **_variable_entries(workspace),
        }
    )


def import_environment(worker: WorkerFacts, transition: Transition) -> dict[str, str]:
    """Return the environment of the import of a template version.

    There is no workspace yet, so only the transition and the group that everybody is in are real.
    The provider of Coder makes up the other facts, and ``TF_VAR_*`` has the same ones.

    Raises:
        BuildEnvironmentError: ``passed_names`` matches a name that must not be passed.
    """
    return _checked(
        {
            **_worker_entries(worker),
            **worker.platform,
            "CODER_WORKSPACE_TRANSITION": _WIRE_TRANSITIONS[transition],
            "CODER_WORKSPACE_OWNER_GROUPS": json.dumps(["Everyone"]),
            "TF_VAR_workspace_transition": transition.value,
            "TF_VAR_workspace_name": "default",
            "TF_VAR_workspace_owner": "default",
            "TF_VAR_workspace_id": str(uuid4()),
            "TF_VAR_start_count": "1" if transition is Transition.START else "0",
        }
    )


def _checked(environment: dict[str, str]) -> dict[str, str]:
    for name, value in environment.items():
        check_entry(name, value, meaning=name)
    return environment


def _worker_entries(worker: WorkerFacts) -> dict[str, str]:
    host = worker.host
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        **{name: host[name] for name in FROM_HOST if name in host},
        **passed_entries(host, worker.passed_names),
        **_terraform_entries(
            worker.home, worker.terraform_cli_config_file, worker.plugin_cache_dir
        ),
    }


def check_passed_names(passed_names: Sequence[str]) -> None:
    """Check the operator's list when settings load, before any build.

    Raises:
        BuildEnvironmentError: an entry names or covers something that must not be passed.
    """
    for pattern in passed_names:
        if _is_too_wide(pattern) or _is_never_passed(pattern):
            raise BuildEnvironmentError(
                f"the environment name {pattern!r} must not be passed to templates; "
                "name the variables that they need, such as AWS_*"
            )


def passed_entries(host: Mapping[str, str], passed_names: Sequence[str]) -> dict[str, str]:
    """Return the variables of the worker that the operator passes to templates.

    Raises:
        BuildEnvironmentError: an entry names or covers something that must not be passed.
    """
    check_passed_names(passed_names)
    passed = {}
    for name, value in host.items():
        pattern = _first_match(name, passed_names)
        if pattern is None:
            continue
        if _is_never_passed(name):
            raise BuildEnvironmentError(
                f"the pattern {pattern!r} would pass {name} to templates, which is not allowed; "
                "narrow the pattern"
            )
        passed[name] = value
    return passed


def _first_match(name: str, patterns: Sequence[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(name, pattern)), None)


def _is_too_wide(pattern: str) -> bool:
    """Return whether a pattern starts with a wildcard and so passes names nobody thought of."""
    return not pattern or pattern[0] in "*?["


def _is_never_passed(name: str) -> bool:
    return any(fnmatchcase(name, refused) for refused in _NEVER_PASSED)


def _terraform_entries(
    home: Path, cli_config_file: Path | None, plugin_cache_dir: Path | None
) -> dict[str, str]:
    entries = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        # A module from a private repository fails at once instead of waiting for a password.
        "GIT_TERMINAL_PROMPT": "0",
    }
    if cli_config_file is not None:
        entries["TF_CLI_CONFIG_FILE"] = str(cli_config_file)
    if plugin_cache_dir is not None:
        entries["TF_PLUGIN_CACHE_DIR"] = str(plugin_cache_dir)
        # Without it Terraform does not use the cache for templates that have no lock file. The
        # risk in its name is for a lock file that is kept; a build's folder is deleted.
        entries["TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE"] = "1"
    return entries


def _workspace_entries(workspace: WorkspaceFacts) -> dict[str, str]:
    return {
        "CODER_WORKSPACE_TRANSITION": _WIRE_TRANSITIONS[workspace.transition],
        "CODER_WORKSPACE_NAME": workspace.workspace_name,
        "CODER_WORKSPACE_ID": str(workspace.workspace_id),
        "CODER_WORKSPACE_OWNER": workspace.owner_name,
        "CODER_WORKSPACE_OWNER_ID": str(workspace.owner_id),
        "CODER_WORKSPACE_OWNER_NAME": workspace.owner_full_name,
        "CODER_WORKSPACE_OWNER_EMAIL": workspace.owner_email,
        "CODER_WORKSPACE_OWNER_GROUPS": json.dumps(workspace.owner_groups),
        "CODER_WORKSPACE_TEMPLATE_ID": str(workspace.template_id),
        "CODER_WORKSPACE_TEMPLATE_NAME": workspace.template_name,
        "CODER_WORKSPACE_TEMPLATE_VERSION": workspace.template_version,
        "CODER_WORKSPACE_BUILD_ID": str(workspace.build_id),
        **({"CODER_WORKSPACE_IS_PREBUILD": "true"} if workspace.is_prebuild else {}),
    }


def _variable_entries(workspace: WorkspaceFacts) -> dict[str, str]:
    """Return all of ``provisioner.engines.terraform.declarations.WORKSPACE_VARIABLES``."""
    return {
        "TF_VAR_workspace_transition": workspace.transition.value,
        "TF_VAR_workspace_name": workspace.workspace_name,
        "TF_VAR_workspace_owner": workspace.owner_name,
        "TF_VAR_workspace_id": str(workspace.workspace_id),
        "TF_VAR_start_count": "1" if workspace.transition is Transition.START else "0",
    }
