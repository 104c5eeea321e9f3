"""Enqueueing dry runs: a worker plans a start, and nothing is made, changed or charged."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from db.catalog.names import check_name
from db.catalog.sources import (
    PlannedWorkspace,
    Source,
    call,
    lock_workspace,
    open_source,
    sealed_values,
)
from db.engine import sql
from db.jobs.tags import queue_name
from db.parameters.limits import passable
from db.refusals import refusing
from db.schema.enums import Transition
from db.schema.tables import Template, User
from db.sealing.places import planned_parameter_of

# The job has no workspace_id: builds of the workspace do not wait for it.
INSERT_DRY_RUN = sql("""
    WITH job AS (
        INSERT INTO provisioner_jobs
            (id, organization_id, initiator_id, provisioner, file_id, type, input, tags, owner_id,
             queue, fair_rank)
        VALUES
            (:job_id, :organization_id, :initiator_id, CAST(:provisioner AS provisioner_type),
             :file_id, 'template_version_dry_run', CAST(:input AS jsonb), CAST(:tags AS jsonb),
             :owner_id, :queue, :fair_rank)
        RETURNING id
    )
    INSERT INTO template_version_dry_runs
        (job_id, template_version_id, owner_id, workspace_id, workspace_name, parameters)
    SELECT id, :version_id, :owner_id, :workspace_id, :workspace_name, CAST(:parameters AS jsonb)
    FROM job
""")


@dataclass(frozen=True, kw_only=True)
class EnqueuedDryRun:
    """An enqueued dry run, with what the caller needs to follow its job and to ring its queue."""

    job_id: uuid.UUID
    version_id: uuid.UUID
    queue: str


def new_workspace(*, owner: User, template: Template, name: str = "") -> PlannedWorkspace:
    """Return a workspace that does not exist, for ``insert_dry_run``.

    Raises:
        InvalidError: the name is not allowed. It may be empty.
    """
    return PlannedWorkspace(
        id=None,
        owner_id=owner.id,
        organization_id=template.organization_id,
        template_id=template.id,
        name=check_name("workspace", name) if name else "",
    )


def existing_workspace(session: Session, workspace_id: uuid.UUID) -> PlannedWorkspace:
    """Return a workspace that exists, for ``insert_dry_run``.

    Raises:
        NotFoundError: there is no such workspace, or it was deleted.
    """
    fields = lock_workspace(session, workspace_id)._asdict()
    del fields["deleted"]
    return PlannedWorkspace(**fields)


def insert_dry_run(
    session: Session,
    workspace: PlannedWorkspace,
    *,
    initiator_id: uuid.UUID | None = None,
    template_version_id: uuid.UUID | None = None,
    parameters: Mapping[str, str] | None = None,
    preset: uuid.UUID | str | None = None,
) -> EnqueuedDryRun:
    """Insert a pending dry run of the workspace's next start in the caller's transaction.

    The version and the values are chosen and judged as for a build.

    Args: as of ``insert_build``.

    Raises:
        NotFoundError: the template has no usable version.
        BuildActiveError: the workspace has an unfinished build, so its next state is not known.
        ConflictError: the template version cannot be built from.
        ParameterValidationError: the values are not allowed.
        InvalidError: the version has no such preset, or a workspace tag cannot be evaluated.
    """
    initiator_id = initiator_id or workspace.owner_id
    request = {
        "transition": Transition.START.value,
        "initiator_id": initiator_id,
        "template_version_id": template_version_id,
    }
    with refusing(session):
        stored_source = call(session, "build_source", vars(workspace), request)
        source = open_source(
            session,
            stored_source,
            owner=workspace.id or workspace.owner_id,
            transition=Transition.START,
        )
        values, tags = _decided(session, workspace, source, parameters or {}, preset)
    run = EnqueuedDryRun(
        job_id=uuid.uuid4(), version_id=uuid.UUID(source["version_id"]), queue=queue_name(tags)
    )
    stored = sealed_values(
        session, source, values, partial(planned_parameter_of, run.job_id), row=run.job_id
    )
    session.execute(
        INSERT_DRY_RUN,
        {
            **_values(run, workspace, source),
            "initiator_id": initiator_id,
            "tags": json.dumps(tags),
            "parameters": json.dumps(stored),
        },
    )
    return run


def _decided(
    session: Session,
    workspace: PlannedWorkspace,
    source: Source,
    parameters: Mapping[str, str],
    preset: uuid.UUID | str | None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values and the tags of a start."""
    start, named = Transition.START.value, str(preset) if preset else None
    given = passable(parameters, Transition.START)
    chosen = call(session, "chosen_values", source, start, given, named)
    # The declarations of a version without an import are not known here: other values are kept.
    kept = source["previous_values"] if chosen["others_from"] else {}
    values = {**kept, **chosen["values"]}
    return values, call(session, "build_tags", source, values, start, workspace.owner_id)


def _values(run: EnqueuedDryRun, workspace: PlannedWorkspace, source: Source) -> dict[str, object]:
    given = {"template_version_id": str(run.version_id), "workspace_name": workspace.name}
    return {
        "job_id": run.job_id,
        "version_id": run.version_id,
        "queue": run.queue,
        "organization_id": workspace.organization_id,
        "owner_id": workspace.owner_id,
        "workspace_id": workspace.id,
        "workspace_name": workspace.name,
        "provisioner": source["provisioner"],
        "file_id": source["file_id"],
        "fair_rank": source["fair_rank"],
        "input": json.dumps(given),
    }
