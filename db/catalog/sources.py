"""What a new build is made from: the build before, the template version and what it declares."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import (
    ActiveVersionRequiredError,
    BuildActiveError,
    ConflictError,
    NotFoundError,
    SealedError,
    VersionImportingError,
)
from db.jobs.declarations import TemplateParameter
from db.jobs.parameters import PARAMETERS, PRESETS, StoredPreset, parameters_of, presets_of
from db.schema.enums import JobStatus, Transition, UserStatus
from db.schema.roles import OrganizationRole, SiteRole
from db.sealing.places import Place, parameter_of, variable_of
from db.sealing.values import open_texts

FAIR_RANK_LIMIT = 1000
"""The unfinished builds of an owner are counted up to this number. Beyond it, their order does not
matter, and counting would take time."""

# The newest version of a template without an active one, if it says why there is none.
UNUSABLE = """
    (SELECT newest.id
     FROM template_versions AS newest
     JOIN provisioner_jobs AS its_import ON its_import.id = newest.job_id
     WHERE newest.template_id = template.id AND its_import.job_status <> 'succeeded'
     ORDER BY newest.created_at DESC
     LIMIT 1)
"""

# Whether the initiator may start any version, as an admin of templates.
IS_ADMIN = f"""
    EXISTS (
        SELECT 1
        FROM users
        LEFT JOIN organization_members AS member
               ON member.user_id = users.id AND member.organization_id = template.organization_id
        WHERE users.id = :initiator_id
          AND (users.rbac_roles && ARRAY['{SiteRole.OWNER}', '{SiteRole.TEMPLATE_ADMIN}']
               OR member.roles && ARRAY['{OrganizationRole.ADMIN}',
                                        '{OrganizationRole.TEMPLATE_ADMIN}']))
"""  # noqa: S608 - made of constants
# A build takes its version and values from the last build that entered apply, because the existing
# resources were made from them. A later build that failed before apply made nothing, so it does not
# count. If no build has entered apply, the values of the latest build are used.
#
# The fair rank is the number of the owner's unfinished builds: a user's nth build waits behind the
# (n-1)th builds of all users.
READ_SOURCE = f"""
    SELECT previous.id AS previous_id,
           previous.build_number AS previous_number,
           coalesce(applied.id, previous.id) AS values_from,
           previous_job.job_status::text AS previous_status,
           template.id AS template_id,
           template.name AS template_name,
           version.id AS version_id,
           version.name AS version_name,
           version.template_id AS version_template_id,
           template.require_active_version
               AND template.active_version_id IS DISTINCT FROM version.id
               AND :is_start AND NOT {IS_ADMIN} AS is_refused,
           import.id AS import_id,
           import.job_status::text AS import_status,
           import.error AS import_error,
           import.file_id,
           import.provisioner::text,
           import.tags,
           previous_job.tags AS previous_tags,
           (SELECT coalesce(json_object_agg(tag.key, tag.value), '{{}}')
            FROM template_version_workspace_tags AS tag
            WHERE tag.template_version_id = version.id) AS tag_expressions,
           (SELECT coalesce(json_object_agg(
                       variable.name, coalesce(variable.value, variable.default_value)), '{{}}')
            FROM template_version_variables AS variable
            WHERE variable.template_version_id = version.id) AS variables,
           {PARAMETERS} AS declared,
           {PRESETS} AS presets,
           (SELECT coalesce(json_object_agg(earlier.name, earlier.value), '{{}}')
            FROM workspace_build_parameters AS earlier
            WHERE earlier.workspace_build_id = coalesce(applied.id, previous.id)
           ) AS previous_values,
           (SELECT count(*) FROM (
                SELECT 1 FROM provisioner_jobs
                WHERE owner_id = :owner_id AND completed_at IS NULL
                LIMIT :limit
            ) AS unfinished) AS fair_rank,
           owner.username AS owner_name,
           owner.status::text AS owner_status,
           owner.deleted AS is_owner_deleted,
           (SELECT allowed FROM limits WHERE name = 'builds_per_owner') AS builds_allowed
    FROM templates AS template
    JOIN users AS owner ON owner.id = :owner_id
    LEFT JOIN latest_workspace_builds AS previous
           ON previous.workspace_id = CAST(:workspace_id AS uuid)
    LEFT JOIN provisioner_jobs AS previous_job ON previous_job.id = previous.job_id
    LEFT JOIN LATERAL (
        SELECT id, template_version_id
        FROM applied_workspace_builds
        WHERE workspace_id = CAST(:workspace_id AS uuid)
        ORDER BY build_number DESC
        LIMIT 1
    ) AS applied ON true
    LEFT JOIN template_versions AS version
        ON version.id = coalesce(
            CAST(:wanted AS uuid),
            CASE WHEN :is_start AND template.require_active_version
            THEN template.active_version_id END,
            applied.template_version_id, template.active_version_id, {UNUSABLE})
    LEFT JOIN provisioner_jobs AS import ON import.id = version.job_id
    WHERE template.id = :template_id
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, kw_only=True)
class PlannedWorkspace:
    """A workspace for a dry run; it need not exist."""

    id: uuid.UUID | None
    owner_id: uuid.UUID
    organization_id: uuid.UUID
    template_id: uuid.UUID
    name: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a new build is made from."""

    previous_id: uuid.UUID | None
    values_from: uuid.UUID | None  #: the build whose values the new one keeps
    previous_values: Mapping[str, str]
    declared: Sequence[TemplateParameter] | None  #: None: the version has no import
    presets: Sequence[StoredPreset]
    build_number: int
    version_id: uuid.UUID
    file_id: uuid.UUID
    provisioner: str
    tags: dict[str, str]  #: those that the version was pushed with
    previous_tags: dict[str, str] | None
    tag_expressions: Mapping[str, str]  #: of the tags that the template computes
    variables: Mapping[str, str]  #: values of template variables, for these expressions
    fair_rank: int
    owner_name: str
    owner_status: UserStatus
    is_owner_deleted: bool
    builds_allowed: int | None  #: unfinished builds of the owner; None: any number


def read_source(
    session: Session,
    workspace: Row[Any] | PlannedWorkspace,
    template_version_id: uuid.UUID | None,
    *,
    transition: Transition,
    initiator_id: uuid.UUID,
) -> Source:
    """Read the previous build and the version to build from, and check that both allow it.

    A template may require its active version for starts by anybody but its admins. Values that
    are sealed are opened. Without their key, a stop and a delete take them as they are stored.

    Raises:
        SealedError: a value that a start needs is sealed, and does not open.
    """
    row = session.execute(
        sql(READ_SOURCE),
        {
            "workspace_id": workspace.id,
            "template_id": workspace.template_id,
            "owner_id": workspace.owner_id,
            "wanted": template_version_id,
            "is_start": transition is Transition.START,
            "initiator_id": initiator_id,
            "limit": FAIR_RANK_LIMIT,
        },
    ).one()
    if row.previous_status is not None and JobStatus(row.previous_status).is_active:
        raise BuildActiveError
    check_usable_version(row)
    if row.is_refused:
        raise ActiveVersionRequiredError
    return _source(session, workspace, row, transition)


def _source(
    session: Session,
    workspace: Row[Any] | PlannedWorkspace,
    row: Row[Any],
    transition: Transition,
) -> Source:
    return Source(
        previous_id=row.previous_id,
        values_from=row.values_from,
        previous_values=_opened(
            session,
            row.previous_values,
            partial(parameter_of, workspace.id or workspace.owner_id),
            transition,
        ),
        declared=parameters_of(row.declared),
        presets=presets_of(row.presets),
        build_number=(row.previous_number or 0) + 1,
        version_id=row.version_id,
        file_id=row.file_id,
        provisioner=row.provisioner,
        tags=row.tags,
        previous_tags=row.previous_tags,
        tag_expressions=row.tag_expressions,
        variables=_opened(
            session,
            row.variables if row.tag_expressions else {},
            partial(variable_of, row.version_id),
            transition,
        ),
        fair_rank=row.fair_rank,
        owner_name=row.owner_name,
        owner_status=UserStatus(row.owner_status),
        is_owner_deleted=row.is_owner_deleted,
        builds_allowed=row.builds_allowed,
    )


def _opened(
    session: Session,
    stored: Mapping[str, str],
    place_of: Callable[[str], Place],
    transition: Transition,
) -> Mapping[str, str]:
    try:
        return open_texts(session, stored, place_of)
    except SealedError:
        if transition is Transition.START:
            raise
        return stored


def check_usable_version(row: Row[Any]) -> None:
    """Refuse a version that cannot be built from.

    Args:
        row: template_id, template_name, and of the version, None where there is none:
            version_id, version_name, version_template_id, import_id, import_status,
            import_error.

    Raises:
        NotFoundError: there is no such version, or the template has none.
        VersionImportingError: its import has not ended.
        ConflictError: the version is another template's, or its import has failed.
    """
    if row.version_id is None:
        raise NotFoundError(f"template {row.template_name!r} has no version that can be built")
    if row.version_template_id != row.template_id:
        raise ConflictError("template version doesn't match template")
    status = JobStatus(row.import_status)
    if status in {JobStatus.PENDING, JobStatus.RUNNING}:
        raise VersionImportingError(row.import_id, status)
    if status is not JobStatus.SUCCEEDED:
        raise ConflictError(
            f'The provided template version "{row.version_name}" has failed to import:'
            f' "{row.import_error or ""}". You cannot build workspaces with it!'
        )
