"""Failures under their public name. Inside this project, import ``provisioner.build.failures``."""

from __future__ import annotations

from provisioner.build.failures import (
    FailedJob,
    classify,
    failed_job,
    failed_workspace_build,
    failed_workspace_build_code,
)

__all__ = [
    "FailedJob",
    "classify",
    "failed_job",
    "failed_workspace_build",
    "failed_workspace_build_code",
]
