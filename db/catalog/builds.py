"""Enqueueing workspace builds. Callers import it: it loads no tables, and no driver."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.catalog.limits import check_builds, check_owner
from db.catalog.sources import Source, read_source
from db.catalog.values import choose_values, sealed_values, tags_of
from db.engine import sql
from db.errors import BuildActiveError, NotFoundError
from db.jobs.tags import queue_name, with_owner
from db.schema.enums import BuildReason, JobPriority, Transition
from db.schema.roles import PREBUILDS_USER_ID
from db.sealing.places import parameter_of

# One round trip for job, build and parameters. The previous state never leaves the server.
INSERT_BUILD = """
    WITH job AS (
        INSERT INTO provisioner_jobs
            (id, organization_id, initiator_id, provisioner, file_id, type, input, tags,
             trace_metadata, workspace_id, owner_id, queue, priority, fair_rank)
        VALUES
            (:job_id, :organization_id, :initiator_id, CAST(:provisioner AS provisioner_type),
             :file_id, 'workspace_build', CAST(:input AS jsonb), CAST(:tags AS jsonb),
             CAST(:trace_metadata AS jsonb), :workspace_id, :owner_id, :queue, :priority,
             :fair_rank)
    ), build AS (
        INSERT INTO workspace_builds
            (id, workspace_id, template_version_id, build_number, transition, initiator_id,
             job_id, reason, template_version_preset_id, provisioner_state, state_lineage,
             state_serial)
        SELECT :build_id, :workspace_id, :version_id, :build_number,
               CAST(:transition AS workspace_transition), :initiator_id, :job_id,
               CAST(:reason AS build_reason), CAST(:preset_id AS uuid),
               previous.provisioner_state, previous.state_lineage, previous.state_serial
        FROM (SELECT 1) AS one
        LEFT JOIN workspace_builds AS previous ON previous.id = :previous_id
    ), given AS (
        SELECT name, value
        FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) AS given (name, value)
    )
    INSERT INTO workspace_build_parameters (workspace_build_id, name, value)
    SELECT :build_id, name, value FROM given
    UNION ALL
    SELECT :build_id, earlier.name, earlier.value
    FROM workspace_build_parameters AS earlier
    WHERE earlier.workspace_build_id = CAST(:values_from AS uuid)
      AND earlier.name NOT IN (SELECT name FROM given)
"""


@dataclass(frozen=True, kw_only=True)
class EnqueuedBuild:
    """An enqueued build, with what the caller needs to follow its job and to ring its queue."""

    build_id: uuid.UUID
    job_id: uuid.UUID
    workspace_id: uuid.UUID
    build_number: int
    queue: str


def insert_build(
    session: Session,
    *,
    workspace_id: uuid.UUID,
    transition: Transition,
    initiator_id: uuid.UUID | None = None,
    template_version_id: uuid.UUID | None = None,
    parameters: Mapping[str, str] | None = None,
    preset: uuid.UUID | str | None = None,
    reason: BuildReason = BuildReason.INITIATOR,
    trace_metadata: dict[str, Any] | None = None,
) -> EnqueuedBuild:
    """Insert a pending job and its build in the caller's transaction.

    Args:
        initiator_id: the user who asked for the build; None means the workspace's owner. Builds of
            the prebuilds user wait behind builds of people.
        template_version_id: the version to build from; None means that of the last build that
            entered apply or, if there is none, the template's active version.
        parameters: values for this build; the others stay as in the last build that entered
            apply, or are the template's defaults.
        preset: a preset of the version, by its id or its name; its values take precedence.

    Raises:
        NotFoundError: there is no such workspace, it was deleted, or it has no usable version.
        BuildActiveError: the workspace has an unfinished build.
        OwnerInactiveError: it is a start, and the workspace's owner is not active.
        LimitReachedError: it is a start, and the owner has enough unfinished builds.
        ActiveVersionRequiredError: the template requires its active version.
        ConflictError: the template version cannot be built from.
        ParameterValidationError: the values are not allowed; a delete never fails by them.
        InvalidError: the version has no such preset, or a workspace tag cannot be evaluated.
        SealedError: a value that a start needs is sealed, and does not open.
    """
    workspace = lock_workspace(session, workspace_id)
    initiator_id = initiator_id or workspace.owner_id
    source = read_source(
        session,
        workspace,
        template_version_id,
        transition=transition,
        initiator_id=initiator_id,
    )
    _check_owner(session, workspace, source, transition)
    chosen = choose_values(source, transition, parameters or {}, preset)
    tags = with_owner(tags_of(source, chosen.values, transition), workspace.owner_id)
    build = EnqueuedBuild(
        build_id=uuid.uuid4(),
        job_id=uuid.uuid4(),
        workspace_id=workspace_id,
        build_number=source.build_number,
        queue=queue_name(tags),
    )
    place_of = partial(parameter_of, workspace_id)
    values = sealed_values(session, source, chosen.values, place_of, row=build.build_id)
    row = {
        **_job_values(build, workspace, source, tags, initiator_id),
        "transition": transition.value,
        "reason": reason.value,
        "trace_metadata": json.dumps(trace_metadata) if trace_metadata else None,
        "preset_id": chosen.preset_id,
        "names": list(values),
        "values": list(values.values()),
        "values_from": chosen.others_from,
    }
    _insert(session, row)
    return build


def _check_owner(
    session: Session, workspace: Row[Any], source: Source, transition: Transition
) -> None:
    if transition is not Transition.START:
        return
    check_owner(source.owner_name, source.owner_status, deleted=source.is_owner_deleted)
    check_builds(session, workspace.owner_id, source.builds_allowed)


def _insert(session: Session, values: Mapping[str, object]) -> None:
    try:
        session.execute(sql(INSERT_BUILD), values)
    except IntegrityError as error:
        # The row lock prevents this for every caller that uses this function; the index is for
        # the others.
        if "uq_provisioner_jobs_active_workspace" in str(error.orig):
            raise BuildActiveError from error
        raise


def _job_values(
    build: EnqueuedBuild,
    workspace: Row[Any],
    source: Source,
    tags: Mapping[str, str],
    initiator_id: uuid.UUID,
) -> dict[str, object]:
    """Return the parameters of ``INSERT_BUILD`` that do not come from the caller."""
    is_prebuild = initiator_id == PREBUILDS_USER_ID
    return {
        "build_id": build.build_id,
        "job_id": build.job_id,
        "workspace_id": build.workspace_id,
        "build_number": build.build_number,
        "queue": build.queue,
        "owner_id": workspace.owner_id,
        "organization_id": workspace.organization_id,
        "initiator_id": initiator_id,
        "priority": JobPriority.PREBUILD if is_prebuild else JobPriority.HUMAN,
        "fair_rank": source.fair_rank,
        "version_id": source.version_id,
        "previous_id": source.previous_id,
        "file_id": source.file_id,
        "provisioner": source.provisioner,
        "tags": json.dumps(tags),
        "input": json.dumps({"workspace_build_id": str(build.build_id)}),
    }


def lock_workspace(session: Session, workspace_id: uuid.UUID) -> Row[Any]:
    """Return the workspace's row, locked until the end of the transaction.

    Raises:
        NotFoundError: there is no such workspace, or it was deleted.
    """
    workspace = session.execute(
        sql("""
            SELECT id, owner_id, organization_id, template_id, name, deleted
            FROM workspaces
            WHERE id = :id
            FOR UPDATE
        """),
        {"id": workspace_id},
    ).one_or_none()
    if workspace is None:
        raise NotFoundError(f"there is no workspace {workspace_id}")
    if workspace.deleted:
        raise NotFoundError(f"workspace {workspace.name!r} was deleted")
    return workspace
