"""The input of a build: what a worker needs to run it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.archives import ArchiveCache
from db.jobs.declarations import Template, TemplateVariable
from db.jobs.leases import Lease, held_row
from db.jobs.parameters import PARAMETERS, parameters_of
from db.jobs.variables import open_variables
from db.schema.enums import Transition
from db.sealing.places import parameter_of, planned_parameter_of
from db.sealing.states import open_state
from db.sealing.values import open_texts


@dataclass(frozen=True, kw_only=True)
class BuildInput:
    """A workspace build and everything needed to run it, read in one transaction."""

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
    owner_login_type: str
    owner_roles: Sequence[str]  #: of the whole site
    organization_id: uuid.UUID
    organization_roles: Sequence[str] | None  #: None if the owner is not a member any more
    template_id: uuid.UUID
    template_name: str
    template_version: str
    external_auth: Sequence[Mapping[str, Any]]  #: services, as the version declares them
    archive: bytes
    graph: Sequence[tuple[str, str]] | None  #: that the version was imported with
    module_files: bytes | None  #: the modules that the version was imported with
    fetches_modules: bool  #: whether the template wants them to be downloaded for each build
    state: bytes | None
    parameters: Mapping[str, str]
    previous_parameters: Mapping[str, str]  #: those of the build that the values are kept from
    variables: Mapping[str, str]  #: values that the template's admin set
    template: Template | None  #: what its import found; None: the version has no import
    sensitive_values: frozenset[str]
    is_failing: bool = False  #: it is a start, and the last ones of its version failed

    @property
    def new_parameters(self) -> Mapping[str, str]:
        """The values of parameters that the earlier build does not have."""
        new = sorted(self.parameters.keys() - self.previous_parameters.keys())
        return {name: self.parameters[name] for name in new}


# Lists come as JSON within the row: one round trip instead of four.
#
# The rest of a statement that has ``asked``, one row: build_id, build_number, transition, state,
# state_build_id and state_is_own (see db.sealing.states), workspace_id, workspace_name, owner_id,
# organization_id, version_id, file_id, parameters, parameters_of (the workspace whose build has
# them; NULL: a dry run has them), and values_from, the build that values are kept from.
INPUT = f"""
    SELECT asked.build_id,
           asked.build_number,
           asked.transition::text,
           asked.state,
           asked.state_build_id,
           asked.state_is_own,
           asked.workspace_id,
           asked.workspace_name,
           owner.id AS owner_id,
           owner.username AS owner_name,
           owner.email AS owner_email,
           owner.name AS owner_full_name,
           owner.login_type::text AS owner_login_type,
           owner.rbac_roles AS owner_roles,
           asked.organization_id,
           member.roles AS organization_roles,
           version.external_auth_providers AS external_auth,
           template.id AS template_id,
           template.name AS template_name,
           version.name AS template_version,
           asked.file_id,
           template.disable_module_cache AS fetches_modules,
           (SELECT cached_module_files
            FROM template_version_terraform_values
            WHERE template_version_id = version.id
              AND NOT template.disable_module_cache) AS module_file_id,
           (SELECT graph
            FROM template_version_terraform_values
            WHERE template_version_id = version.id
              AND asked.transition <> 'delete'
              AND NOT template.disable_module_cache) AS graph,
           (SELECT coalesce(json_agg(group_name ORDER BY group_name), '[]')
            FROM group_members_expanded AS grouped
            WHERE grouped.user_id = asked.owner_id
              AND grouped.organization_id = asked.organization_id) AS owner_groups,
           asked.parameters,
           asked.parameters_of,
           version.id AS version_id,
           (SELECT coalesce(json_object_agg(earlier.name, earlier.value), '{{}}')
            FROM workspace_build_parameters AS earlier
            WHERE earlier.workspace_build_id = asked.values_from) AS previous_parameters,
           (SELECT coalesce(json_agg(variable ORDER BY variable.position, variable.name), '[]')
            FROM template_version_variables AS variable
            WHERE variable.template_version_id = version.id) AS variables,
           asked.transition = 'start' AND EXISTS (
               SELECT FROM circuits WHERE template_version_id = version.id
           ) AS is_failing,
           {PARAMETERS} AS declared
    FROM asked
    JOIN users AS owner ON owner.id = asked.owner_id
    LEFT JOIN organization_members AS member
           ON member.organization_id = asked.organization_id
          AND member.user_id = asked.owner_id
    JOIN template_versions AS version ON version.id = asked.version_id
    JOIN templates AS template ON template.id = version.template_id
"""  # noqa: S608 - made of constants
OF_LEASE = """
        WHERE job.id = :job_id
          AND job.lease_token = :lease_token
          AND job.completed_at IS NULL
"""
LOAD_BUILD = sql(f"""
    WITH asked AS (
        SELECT build.id AS build_id,
               build.build_number,
               build.transition,
               build.provisioner_state AS state,
               build.id AS state_build_id,
               build.checkpoint_at IS NOT NULL AS state_is_own,
               workspace.id AS workspace_id,
               workspace.name AS workspace_name,
               workspace.owner_id,
               workspace.organization_id,
               build.template_version_id AS version_id,
               job.file_id,
               (SELECT coalesce(json_object_agg(given.name, given.value), '{{}}')
                FROM workspace_build_parameters AS given
                WHERE given.workspace_build_id = build.id) AS parameters,
               workspace.id AS parameters_of,
               coalesce(applied.id, previous.id) AS values_from
        FROM provisioner_jobs AS job
        JOIN workspace_builds AS build ON build.job_id = job.id
        JOIN workspaces AS workspace ON workspace.id = build.workspace_id
        LEFT JOIN workspace_builds AS previous
               ON previous.workspace_id = build.workspace_id
              AND previous.build_number = build.build_number - 1
        -- The build that the values were copied from: see db.catalog.builds.
        LEFT JOIN LATERAL (
            SELECT earlier.id
            FROM applied_workspace_builds AS earlier
            WHERE earlier.workspace_id = build.workspace_id
              AND earlier.build_number < build.build_number
            ORDER BY earlier.build_number DESC
            LIMIT 1
        ) AS applied ON true
        {OF_LEASE}
    )
    {INPUT}
""")  # noqa: S608 - made of constants
# A build and a workspace that do not exist have the id of the job.
LOAD_DRY_RUN = sql(f"""
    WITH asked AS (
        SELECT job.id AS build_id,
               coalesce(latest.build_number, 0) + 1 AS build_number,
               CAST('start' AS workspace_transition) AS transition,
               before.provisioner_state AS state,
               before.id AS state_build_id,
               before.checkpoint_at IS NOT NULL AS state_is_own,
               coalesce(run.workspace_id, job.id) AS workspace_id,
               run.workspace_name,
               run.owner_id,
               job.organization_id,
               run.template_version_id AS version_id,
               job.file_id,
               run.parameters,
               CAST(NULL AS uuid) AS parameters_of,
               coalesce(applied.id, latest.id) AS values_from
        FROM provisioner_jobs AS job
        JOIN template_version_dry_runs AS run ON run.job_id = job.id
        LEFT JOIN latest_workspace_builds AS latest ON latest.workspace_id = run.workspace_id
        LEFT JOIN workspace_builds AS before ON before.id = latest.id
        LEFT JOIN LATERAL (
            SELECT earlier.id
            FROM applied_workspace_builds AS earlier
            WHERE earlier.workspace_id = run.workspace_id
            ORDER BY earlier.build_number DESC
            LIMIT 1
        ) AS applied ON true
        {OF_LEASE}
    )
    {INPUT}
""")  # noqa: S608 - made of constants


def load_build(session: Session, lease: Lease, *, archives: ArchiveCache) -> BuildInput:
    """Read the build of a claimed job.

    Raises:
        LeaseLostError: the token is no longer the job's.
        SealedError: something that it needs is sealed, and does not open.
    """
    return _load(session, lease, LOAD_BUILD, archives)


def load_dry_run(session: Session, lease: Lease, *, archives: ArchiveCache) -> BuildInput:
    """Read a claimed dry run as the start that it stands for.

    An existing workspace has its latest state, and the values of the last build that entered
    apply as the previous ones.

    Raises:
        LeaseLostError: the token is no longer the job's.
        SealedError: something that it needs is sealed, and does not open.
    """
    return _load(session, lease, LOAD_DRY_RUN, archives)


def _load(
    session: Session, lease: Lease, statement: TextClause, archives: ArchiveCache
) -> BuildInput:
    fields = _opened(session, held_row(session, lease, statement))
    file_id, declared = fields.pop("file_id"), fields.pop("declared")
    module_file_id = fields.pop("module_file_id")
    variables = fields.pop("variables")
    return BuildInput(
        **{**fields, "transition": Transition(fields["transition"])},
        archive=archives.get(session, file_id),
        module_files=archives.get(session, module_file_id) if module_file_id else None,
        variables={found["name"]: found["value"] for found in variables if _has_value(found)},
        template=_template(declared, variables),
        sensitive_values=frozenset(
            {
                *_sensitive_values(variables),
                *_sensitive_parameters(
                    declared, fields["parameters"], fields["previous_parameters"]
                ),
            }
        ),
    )


def _opened(session: Session, row: Row[Any]) -> dict[str, Any]:
    """Return the fields of the row with the values that were sealed."""
    fields = row._asdict()
    build_id, is_own = fields.pop("state_build_id"), fields.pop("state_is_own")
    workspace_id, version_id = fields.pop("parameters_of"), fields.pop("version_id")
    place_of = (
        partial(parameter_of, workspace_id)
        if workspace_id
        else partial(planned_parameter_of, row.build_id)
    )
    return {
        **fields,
        "state": open_state(
            session, row.state, workspace_id=row.workspace_id, build_id=build_id, is_own=is_own
        ),
        "parameters": open_texts(session, row.parameters, place_of),
        "previous_parameters": open_texts(
            session, row.previous_parameters, partial(parameter_of, row.workspace_id)
        ),
        "variables": open_variables(session, version_id, row.variables),
    }


def _has_value(variable: Mapping[str, Any]) -> bool:
    return variable["value"] is not None


def _template(
    declared: Sequence[Mapping[str, Any]] | None, variables: Sequence[Mapping[str, Any]]
) -> Template | None:
    parameters = parameters_of(declared)
    if parameters is None:
        return None
    return Template(
        variables=tuple(_variable(found) for found in variables), parameters=tuple(parameters)
    )


def _variable(row: Mapping[str, Any]) -> TemplateVariable:
    return TemplateVariable(
        name=row["name"],
        required=row["required"],
        sensitive=row["sensitive"],
        type=row["type"],
        ephemeral=row["ephemeral"],
    )


def _sensitive_values(variables: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(
        value
        for found in variables
        if found["sensitive"]
        for value in (found["value"], found["default_value"])
        if value
    )


def _sensitive_parameters(
    declared: Sequence[Mapping[str, Any]] | None, *given: Mapping[str, str]
) -> Iterator[str]:
    for found in declared or ():
        if found["sensitive"]:
            yield from (values[found["name"]] for values in given if found["name"] in values)
            yield found["default_value"] or ""
