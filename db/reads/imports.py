"""What the imports of template versions found, for the command line."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.declared import REDACTED
from db.reads.listings import LIMIT, read_listings

T = TypeVar("T")

_FAILING = """
    (SELECT coalesce(string_agg(reason, ', ' ORDER BY reason), '')
     FROM circuits
     WHERE template_version_id = version.id AND open_until IS NOT NULL) AS failing
"""


@dataclass(frozen=True, kw_only=True)
class VersionListing:
    """A version of a template, and how its import ended."""

    id: uuid.UUID
    name: str
    status: str  #: of its import
    error: str | None
    error_code: str | None
    is_active: bool
    archived: bool
    workspaces: int  #: that use it and are not deleted
    failing: str = ""  #: why starts of it are refused now (``circuits``); empty if they are not
    message: str
    created_by_name: str
    created_at: datetime
    job_id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class VariableRow:
    """A variable; a sensitive value or default is not shown."""

    name: str
    type: str
    description: str
    value: str | None
    default_value: str
    required: bool
    sensitive: bool


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """A parameter that the user of a workspace chooses."""

    name: str
    display_name: str
    type: str
    form_type: str
    description: str
    required: bool
    default_value: str
    mutable: bool
    ephemeral: bool
    options: Sequence[Mapping[str, Any]]
    validation_regex: str
    validation_min: int | None
    validation_max: int | None
    validation_error: str
    validation_monotonic: str


@dataclass(frozen=True, kw_only=True)
class PresetRow:
    """A preset and its values."""

    id: uuid.UUID
    name: str
    description: str
    is_default: bool
    parameters: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ModuleRow:
    """A module that the template calls."""

    key: str
    source: str
    version: str


@dataclass(frozen=True, kw_only=True)
class ResourceRow:
    """A resource of a workspace after a start or a stop, as planned by the import."""

    transition: str
    type: str
    name: str
    module_path: str | None
    daily_cost: int


@dataclass(frozen=True, kw_only=True)
class VersionDetails:
    """A version with everything that its import found."""

    id: uuid.UUID
    name: str
    template_name: str
    status: str
    error: str | None
    error_code: str | None
    is_active: bool
    archived: bool
    failing: str  #: as of the listing
    message: str
    readme: str
    job_id: uuid.UUID
    has_ai_task: bool
    has_external_agent: bool
    external_auth_providers: Sequence[Mapping[str, Any]]
    variables: Sequence[VariableRow]
    parameters: Sequence[ParameterRow]
    presets: Sequence[PresetRow]
    modules: Sequence[ModuleRow]
    resources: Sequence[ResourceRow]


def list_versions(
    session: Session, *, template_id: uuid.UUID, with_archived: bool = False, limit: int = LIMIT
) -> list[VersionListing]:
    """Return the versions of the template, newest first."""
    return read_listings(
        session,
        VersionListing,
        f"""
        SELECT version.id, version.name, version.message, version.archived, version.job_id,
               version.created_at, job.job_status::text AS status, job.error, job.error_code,
               template.active_version_id IS NOT DISTINCT FROM version.id AS is_active,
               author.username AS created_by_name,
               (SELECT count(*)
                FROM workspaces AS workspace
                JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
                WHERE workspace.template_id = template.id
                  AND NOT workspace.deleted
                  AND latest.template_version_id = version.id) AS workspaces,
               {_FAILING}
        FROM template_versions AS version
        JOIN templates AS template ON template.id = version.template_id
        JOIN provisioner_jobs AS job ON job.id = version.job_id
        JOIN users AS author ON author.id = version.created_by
        WHERE version.template_id = :template_id AND (:with_archived OR NOT version.archived)
        ORDER BY version.created_at DESC, version.name DESC
        LIMIT :limit
        """,  # noqa: S608 - made of constants
        template_id=template_id,
        with_archived=with_archived,
        limit=limit,
    )


def get_version_details(session: Session, version_id: uuid.UUID) -> VersionDetails:
    """Return an existing version with everything that its import found."""
    row = session.execute(
        sql(f"""
            SELECT version.id, version.name, coalesce(template.name, '') AS template_name,
                   job.job_status::text AS status, job.error, job.error_code, version.job_id,
                   coalesce(template.active_version_id = version.id, false) AS is_active,
                   version.archived, version.message, version.readme, version.has_ai_task,
                   version.has_external_agent, version.external_auth_providers,
                   {_FAILING}
            FROM template_versions AS version
            JOIN provisioner_jobs AS job ON job.id = version.job_id
            LEFT JOIN templates AS template ON template.id = version.template_id
            WHERE version.id = :id
        """),  # noqa: S608 - made of constants
        {"id": version_id},
    ).one()
    of_version, of_job = {"id": version_id}, {"id": row.job_id}
    return VersionDetails(
        **row._asdict(),
        variables=_rows(session, VariableRow, _VARIABLES, of_version),
        parameters=_rows(session, ParameterRow, _PARAMETERS, of_version),
        presets=_rows(session, PresetRow, _PRESETS, of_version),
        modules=_rows(session, ModuleRow, _MODULES, of_job),
        resources=_rows(session, ResourceRow, _RESOURCES, of_job),
    )


def _rows(session: Session, kind: type[T], statement: str, values: Mapping[str, object]) -> list[T]:
    return [kind(**row._asdict()) for row in session.execute(sql(statement), values)]


_VARIABLES = f"""
    SELECT name, type, description, required, sensitive,
           CASE WHEN sensitive AND value IS NOT NULL THEN '{REDACTED}' ELSE value END AS value,
           CASE WHEN sensitive AND default_value <> '' THEN '{REDACTED}' ELSE default_value
           END AS default_value
    FROM template_version_variables
    WHERE template_version_id = :id
    ORDER BY position, name
"""  # noqa: S608 - made of constants
_PARAMETERS = f"""
    SELECT name, display_name, type, form_type, description, required,
           CASE WHEN sensitive AND default_value <> '' THEN '{REDACTED}' ELSE default_value
           END AS default_value,
           mutable, ephemeral, options, validation_regex, validation_min, validation_max,
           validation_error, validation_monotonic
    FROM template_version_parameters
    WHERE template_version_id = :id
    ORDER BY display_order, name
"""  # noqa: S608 - made of constants
_PRESETS = """
    SELECT preset.id, preset.name, preset.description, preset.is_default,
           (SELECT coalesce(json_object_agg(chosen.name, chosen.value), '{}')
            FROM template_version_preset_parameters AS chosen
            WHERE chosen.template_version_preset_id = preset.id) AS parameters
    FROM template_version_presets AS preset
    WHERE preset.template_version_id = :id
    ORDER BY preset.name
"""
_MODULES = """
    SELECT key, source, version FROM workspace_modules WHERE job_id = :id ORDER BY key
"""
_RESOURCES = """
    SELECT transition::text, type, name, module_path, daily_cost
    FROM workspace_resources
    WHERE job_id = :id
    ORDER BY transition, module_path, type, name
"""
