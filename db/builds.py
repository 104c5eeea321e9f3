"""What a worker needs to know of the build that it is to run."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from db.engine import Executor
from db.enums import Transition
from db.errors import LeaseLostError


@dataclass(frozen=True, kw_only=True)
class BuildInput:
    """A workspace build as it stands on the rows, read in one transaction."""

    build_id: uuid.UUID
    build_number: int
    transition: Transition
    workspace_id: uuid.UUID
    workspace_name: str
    owner_id: uuid.UUID
    owner_name: str
    owner_email: str
    owner_full_name: str
    owner_groups: Sequence[str]
    template_id: uuid.UUID
    template_name: str
    template_version: str
    archive: bytes
    state: bytes | None
    parameters: Mapping[str, str]
    inherited: frozenset[str]  #: names of parameters that the previous build had, too
    variables: Mapping[str, str]  #: values that the template's admin gave
    sensitive_values: frozenset[str]


def load_build(session: Executor, *, job_id: uuid.UUID, lease_token: uuid.UUID) -> BuildInput:
    """Read the build of a claimed job.

    The workspace row is locked against ``store_recovered_state``, so that the state read here
    cannot be replaced once this build has begun.

    Raises:
        LeaseLostError: the token is no longer the job's.
    """
    _lock_workspace(session, job_id)
    row = session.execute(
        text("""
            SELECT build.id AS build_id,
                   build.build_number,
                   build.transition::text,
                   build.provisioner_state AS state,
                   build.template_version_id,
                   workspace.id AS workspace_id,
                   workspace.name AS workspace_name,
                   workspace.organization_id,
                   owner.id AS owner_id,
                   owner.username AS owner_name,
                   owner.email AS owner_email,
                   owner.name AS owner_full_name,
                   template.id AS template_id,
                   template.name AS template_name,
                   version.name AS template_version,
                   file.data AS archive
            FROM provisioner_jobs AS job
            JOIN workspace_builds AS build ON build.job_id = job.id
            JOIN workspaces AS workspace ON workspace.id = build.workspace_id
            JOIN users AS owner ON owner.id = workspace.owner_id
            JOIN template_versions AS version ON version.id = build.template_version_id
            JOIN templates AS template ON template.id = version.template_id
            JOIN files AS file ON file.id = job.file_id
            WHERE job.id = :job_id
              AND job.lease_token = :lease_token
              AND job.completed_at IS NULL
        """),
        {"job_id": job_id, "lease_token": lease_token},
    ).one_or_none()
    if row is None:
        raise LeaseLostError(job_id)
    fields = row._asdict()
    organization_id = fields.pop("organization_id")
    parameters, inherited = _parameters(session, row.build_id)
    variables, sensitive_values = _variables(session, fields.pop("template_version_id"))
    return BuildInput(
        **{**fields, "transition": Transition(row.transition)},
        owner_groups=_groups(session, row.owner_id, organization_id),
        parameters=parameters,
        inherited=inherited,
        variables=variables,
        sensitive_values=sensitive_values,
    )


def _lock_workspace(session: Executor, job_id: uuid.UUID) -> None:
    # A statement of its own: one that waits for a lock goes on with the snapshot from before the
    # wait, so reading in the same one would miss the state that was just recovered.
    session.execute(
        text("""
            SELECT 1
            FROM workspaces
            JOIN workspace_builds AS build ON build.workspace_id = workspaces.id
            WHERE build.job_id = :job_id
            FOR SHARE OF workspaces
        """),
        {"job_id": job_id},
    )


def _groups(session: Executor, user_id: uuid.UUID, organization_id: uuid.UUID) -> list[str]:
    rows = session.execute(
        text("""
            SELECT group_name
            FROM group_members_expanded
            WHERE user_id = :user_id AND organization_id = :organization_id
            ORDER BY group_name
        """),
        {"user_id": user_id, "organization_id": organization_id},
    )
    return list(rows.scalars())


def _parameters(session: Executor, build_id: uuid.UUID) -> tuple[dict[str, str], frozenset[str]]:
    rows = session.execute(
        text("""
            SELECT given.name, given.value, earlier.name IS NOT NULL AS inherited
            FROM workspace_build_parameters AS given
            JOIN workspace_builds AS build ON build.id = given.workspace_build_id
            LEFT JOIN workspace_builds AS previous
                   ON previous.workspace_id = build.workspace_id
                  AND previous.build_number = build.build_number - 1
            LEFT JOIN workspace_build_parameters AS earlier
                   ON earlier.workspace_build_id = previous.id AND earlier.name = given.name
            WHERE given.workspace_build_id = :build_id
        """),
        {"build_id": build_id},
    ).all()
    inherited = frozenset(row.name for row in rows if row.inherited)
    return {row.name: row.value for row in rows}, inherited


def _variables(
    session: Executor, template_version_id: uuid.UUID
) -> tuple[dict[str, str], frozenset[str]]:
    rows = session.execute(
        text("""
            SELECT name, value, sensitive
            FROM template_version_variables
            WHERE template_version_id = :id AND value IS NOT NULL
        """),
        {"id": template_version_id},
    ).all()
    sensitive = frozenset(row.value for row in rows if row.sensitive and row.value)
    return {row.name: row.value for row in rows}, sensitive
