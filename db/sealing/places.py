"""Where a sealed value is stored. It opens nowhere else."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Place:
    """A column, and what its value belongs to.

    A state and a parameter belong to a workspace, not to one build: a new build takes those of the
    build before as they are, also where there is no key.
    """

    column: str  #: TABLE.COLUMN
    owner: uuid.UUID  #: the row that the value belongs to
    name: str = ""  #: which of the owner's values
    noun: str  #: what people call the value

    @property
    def bound(self) -> bytes:
        """The place as bytes; two places never have the same."""
        return json.dumps([self.column, str(self.owner), self.name]).encode()


def state_of(workspace_id: uuid.UUID) -> Place:
    """Return the place of a workspace's states, those that a push replaced included."""
    return Place(
        column="workspace_builds.provisioner_state",
        owner=workspace_id,
        noun=f"the state of workspace {workspace_id}",
    )


def orphan_of(job_id: uuid.UUID) -> Place:
    """Return the place of a state that was put aside on a host."""
    return Place(
        column="orphaned-states", owner=job_id, noun=f"the state that job {job_id} left behind"
    )


def parameter_of(workspace_id: uuid.UUID, name: str) -> Place:
    """Return the place of a parameter's value in the builds of a workspace."""
    return Place(
        column="workspace_build_parameters.value",
        owner=workspace_id,
        name=name,
        noun=f"parameter {name!r} of workspace {workspace_id}",
    )


def planned_parameter_of(job_id: uuid.UUID, name: str) -> Place:
    """Return the place of a parameter's value in a dry run."""
    return Place(
        column="template_version_dry_runs.parameters",
        owner=job_id,
        name=name,
        noun=f"parameter {name!r} of dry run {job_id}",
    )


def variable_of(version_id: uuid.UUID, name: str) -> Place:
    """Return the place of a template variable's value."""
    return Place(
        column="template_version_variables.value",
        owner=version_id,
        name=name,
        noun=f"variable {name!r} of template version {version_id}",
    )


def webhook_secret_of(webhook_id: uuid.UUID) -> Place:
    """Return the place of a webhook's secret."""
    return Place(
        column="webhooks.secret", owner=webhook_id, noun=f"the secret of webhook {webhook_id}"
    )
