"""The import of a template version: what a worker needs for it, and what it leaves behind.

The result is stored in the transaction that finishes the job, so nothing of it is ever stored in
part. A failed import leaves only the variables and the README: a person needs them to push again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.archives import TAR, ArchiveCache, store_file
from db.jobs.declarations import (
    PlannedDeclarations,
    TemplateModule,
    TemplateParameter,
    TemplatePreset,
)
from db.jobs.leases import Lease, held_row
from db.jobs.resources import Resource
from db.jobs.rows import as_stored, insert_rows
from db.jobs.variables import VariableValue, replace_variables
from db.schema.enums import Transition
from db.schema.tables import (
    TemplateVersionParameter,
    TemplateVersionPreset,
    TemplateVersionPresetParameter,
    TemplateVersionPresetPrebuildSchedule,
    TemplateVersionWorkspaceTag,
    WorkspaceModule,
)
from db.sealing.places import variable_of
from db.sealing.values import open_texts
from db.texts import storable

README_LIMIT = 1_048_576
"""Maximum characters of a README: the width of the column."""

GRAPH_LIMIT = 1_048_576
"""A graph with more characters is not stored: its builds ask Terraform, which takes less time."""

NOBODY = uuid.UUID(int=0)
"""The creator of files that imports make. Source: Coder."""


@dataclass(frozen=True, kw_only=True)
class ImportInput:
    """A template version to import, read in one transaction."""

    version_id: uuid.UUID
    version_name: str
    template_id: uuid.UUID | None
    template_name: str
    archive: bytes
    given: Mapping[str, str]  #: values of variables that were given with the push
    inherited: Mapping[str, str]  #: values of the active version, for variables without a given one
    sensitive_values: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What an import has found so far."""

    variables: Sequence[VariableValue] | None = None  #: None: the files were not read
    readme: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)  #: HCL expressions by key
    declares: PlannedDeclarations = field(default_factory=PlannedDeclarations)
    modules: Sequence[TemplateModule] = ()
    resources: Mapping[Transition, Sequence[Resource]] = field(default_factory=dict)
    module_files: bytes | None = None  #: a tar of the modules and of the completed lock file
    provisionerd_version: str = ""
    graph: Sequence[tuple[str, str]] = ()  #: pairs of addresses: what refers to what


LOAD_IMPORT = sql("""
    SELECT version.id AS version_id,
           version.name AS version_name,
           template.id AS template_id,
           coalesce(template.name, '') AS template_name,
           template.active_version_id,
           job.file_id,
           (SELECT coalesce(json_object_agg(given.name, given.value), '{}')
            FROM template_version_variables AS given
            WHERE given.template_version_id = version.id
              AND given.value IS NOT NULL) AS given,
           (SELECT coalesce(json_agg(json_build_array(
                       earlier.name, earlier.value, earlier.sensitive)), '[]')
            FROM template_version_variables AS earlier
            WHERE earlier.template_version_id = template.active_version_id
              AND earlier.value IS NOT NULL) AS inherited
    FROM provisioner_jobs AS job
    JOIN template_versions AS version
      ON version.id = CAST(job.input ->> 'template_version_id' AS uuid)
    LEFT JOIN templates AS template ON template.id = version.template_id
    WHERE job.id = :job_id
      AND job.lease_token = :lease_token
      AND job.completed_at IS NULL
""")
COMPLETE_VERSION = sql("""
    UPDATE template_versions
    SET external_auth_providers = CAST(:external_auth AS jsonb),
        has_ai_task = :has_ai_task,
        has_external_agent = :has_external_agent,
        updated_at = now()
    WHERE id = :version_id
""")
# Of two pushes, the later one stays active, whichever import ends first.
ACTIVATE = sql("""
    UPDATE templates AS template
    SET active_version_id = version.id, updated_at = now()
    FROM template_versions AS version
    JOIN provisioner_jobs AS job ON job.id = version.job_id
    WHERE version.id = :version_id
      AND template.id = version.template_id
      AND NOT version.archived
      AND coalesce(CAST(job.input ->> 'activate' AS boolean), false)
      AND NOT EXISTS (
          SELECT 1
          FROM template_versions AS active
          WHERE active.id = template.active_version_id AND active.created_at > version.created_at
      )
""")


def load_import(session: Session, lease: Lease, *, archives: ArchiveCache) -> ImportInput:
    """Read the template version of a claimed import.

    Raises:
        LeaseLostError: the token is no longer the job's.
        SealedError: the value of a variable is sealed, and does not open.
    """
    row = held_row(session, lease, LOAD_IMPORT)
    inherited = open_texts(
        session,
        {name: value for name, value, _ in row.inherited},
        partial(variable_of, row.active_version_id),
    )
    return ImportInput(
        version_id=row.version_id,
        version_name=row.version_name,
        template_id=row.template_id,
        template_name=row.template_name,
        archive=archives.get(session, row.file_id),
        given=open_texts(session, row.given, partial(variable_of, row.version_id)),
        inherited=inherited,
        sensitive_values=frozenset(
            inherited[name] for name, _, sensitive in row.inherited if sensitive
        ),
    )


def store_import(session: Session, job_id: uuid.UUID, result: ImportResult, *, is_ok: bool) -> None:
    """Store what the import of a version found.

    Args:
        is_ok: whether it succeeded. Then everything is stored and the version becomes active, if
            its push asked for that and no later version is active.
    """
    version_id = _version_of(session, job_id)
    if result.variables is not None:
        replace_variables(session, version_id, result.variables)
        _store_readme(session, version_id, result.readme)
    if is_ok:
        _store_declarations(session, version_id, result)
        insert_modules(session, job_id, result.modules)
        _store_values(session, version_id, result)
        session.execute(ACTIVATE, {"version_id": version_id})


def _version_of(session: Session, job_id: uuid.UUID) -> uuid.UUID:
    version_id: uuid.UUID = session.execute(
        sql("""
            SELECT CAST(input ->> 'template_version_id' AS uuid)
            FROM provisioner_jobs
            WHERE id = :job_id
        """),
        {"job_id": job_id},
    ).scalar_one()
    return version_id


def _store_readme(session: Session, version_id: uuid.UUID, readme: str) -> None:
    session.execute(
        sql("UPDATE template_versions SET readme = :readme, updated_at = now() WHERE id = :id"),
        {"id": version_id, "readme": storable(readme)[:README_LIMIT]},
    )


def _store_declarations(session: Session, version_id: uuid.UUID, result: ImportResult) -> None:
    declares = result.declares
    of_version = {"template_version_id": version_id}
    insert_rows(
        session,
        TemplateVersionParameter,
        [of_version | _parameter_row(found) for found in declares.parameters],
    )
    insert_rows(
        session,
        TemplateVersionWorkspaceTag,
        [
            of_version | as_stored({"key": key, "value": value})
            for key, value in result.tags.items()
        ],
    )
    for preset in declares.presets:
        _insert_preset(session, version_id, preset)
    session.execute(
        COMPLETE_VERSION,
        {
            "version_id": version_id,
            "external_auth": json.dumps([asdict(found) for found in declares.external_auth]),
            "has_ai_task": declares.has_ai_task,
            "has_external_agent": declares.has_external_agent,
        },
    )


def _insert_preset(session: Session, version_id: uuid.UUID, preset: TemplatePreset) -> None:
    preset_id = uuid.uuid4()
    row = {
        "id": preset_id,
        "template_version_id": version_id,
        "name": storable(preset.name),
        "is_default": preset.is_default,
        "description": storable(preset.description)[:128],
        "icon": storable(preset.icon)[:256],
        "desired_instances": preset.desired_instances,
        "invalidate_after_secs": preset.invalidate_after_s,
        "scheduling_timezone": storable(preset.timezone),
    }
    insert_rows(session, TemplateVersionPreset, [row])
    insert_rows(
        session,
        TemplateVersionPresetParameter,
        [
            {
                "template_version_preset_id": preset_id,
                **as_stored({"name": name, "value": value}),
            }
            for name, value in preset.parameters.items()
        ],
    )
    insert_rows(
        session,
        TemplateVersionPresetPrebuildSchedule,
        [
            {
                "preset_id": preset_id,
                "cron_expression": storable(found.cron),
                "desired_instances": found.instances,
            }
            for found in preset.schedules
        ],
    )


def _store_values(session: Session, version_id: uuid.UUID, result: ImportResult) -> None:
    file_id = (
        store_file(session, data=result.module_files, created_by=NOBODY, mimetype=TAR)
        if result.module_files
        else None
    )
    session.execute(
        sql("""
            INSERT INTO template_version_terraform_values
                (template_version_id, cached_module_files, provisionerd_version, graph)
            VALUES (:version_id, :file_id, :version, CAST(:graph AS jsonb))
            ON CONFLICT (template_version_id) DO UPDATE
            SET cached_module_files = excluded.cached_module_files,
                provisionerd_version = excluded.provisionerd_version,
                graph = excluded.graph,
                updated_at = now()
        """),
        {
            "version_id": version_id,
            "file_id": file_id,
            "version": result.provisionerd_version,
            "graph": _graph(result),
        },
    )


def _graph(result: ImportResult) -> str | None:
    """Return the graph as JSON, None if it is empty or so large that each build would read it."""
    text = json.dumps([list(map(storable, edge)) for edge in result.graph])
    return text if result.graph and len(text) <= GRAPH_LIMIT else None


def _parameter_row(found: TemplateParameter) -> dict[str, Any]:
    row = as_stored(asdict(found))
    row["default_value"] = row.pop("default") or ""
    row["display_order"] = row.pop("order")
    row["icon"] = row["icon"][:256]
    row["options"] = [as_stored(option) for option in row["options"]]
    return row


def insert_modules(session: Session, job_id: uuid.UUID, modules: Iterable[TemplateModule]) -> None:
    """Store the modules that the template of a job calls."""
    of_job = {"job_id": job_id, "transition": Transition.START}
    insert_rows(
        session,
        WorkspaceModule,
        [{**of_job, **as_stored(asdict(module))} for module in modules],
    )
