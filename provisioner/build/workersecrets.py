"""The secrets of the worker's environment that templates see."""

from __future__ import annotations

from provisioner.build.attempt import BuildSettings
from provisioner.build.environment import passed_entries
from provisioner.redaction.secrets import secrets_of_environment


def secrets_of_worker(settings: BuildSettings) -> frozenset[str]:
    """Return the secrets in what the operator passes to templates, and in proxies' addresses."""
    host = settings.host_environment
    return frozenset(secrets_of_environment(host, passed_entries(host, settings.passed_names)))
