"""Creating and finding workspaces, and enqueueing their builds."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.catalog.names import check_name, insert_named
from db.catalog.templates import check_usable_version
from db.engine import sql
from db.errors import BuildActiveError, ConflictError, NotFoundError
from db.jobs.tags import queue_name
from db.schema.enums import BuildReason, JobPriority, JobStatus, Transition, UserStatus
from db.schema.tables import Template, User, Workspace
from db.texts import check_storable

PREBUILDS_USER_ID = uuid.UUID("c42fdf75-3097-471c-8c33-fb52454d81c0")
"""The system user that initiates prebuilds. Source: Coder."""

FAIR_RANK_LIMIT = 1000
"""The unfinished builds of an owner are counted up to this number. Beyond it, their order does not
matter, and counting would take time."""


# A build takes its version and values from the last build that entered apply, because the existing
# resources were made from them. A later build that failed before apply made nothing, so it does not
# count. If no build has entered apply, the values of the latest build are used.
#
# The fair rank is the number of the owner's unfinished builds: a user's nth build waits behind the
# (n-1)th builds of all users.
READ_SOURCE = """
    SELECT previous.id AS previous_id,
           previous.build_number AS previous_number,
           coalesce(applied.id, previous.id) AS values_from,
           previous_job.job_status::text AS previous_status,
           template.id AS template_id,
           template.name AS template_name,
           version.id AS version_id,
           version.name AS version_name,
           version.template_id AS version_template_id,
           import.job_status::text AS import_status,
           import.error AS import_error,
           import.file_id,
           import.provisioner::text,
           import.tags,
           (SELECT count(*) FROM (
                SELECT 1 FROM provisioner_jobs
                WHERE owner_id = :owner_id AND completed_at IS NULL
                LIMIT :limit
            ) AS unfinished) AS fair_rank
    FROM templates AS template
    LEFT JOIN latest_workspace_builds AS previous ON previous.workspace_id = :workspace_id
    LEFT JOIN provisioner_jobs AS previous_job ON previous_job.id = previous.job_id
    LEFT JOIN LATERAL (
        SELECT id, template_version_id
        FROM applied_workspace_builds
        WHERE workspace_id = :workspace_id
        ORDER BY build_number DESC
        LIMIT 1
    ) AS applied ON true
    LEFT JOIN template_versions AS version
        ON version.id = coalesce(
            CAST(:wanted AS uuid), applied.template_version_id, template.active_version_id)
    LEFT JOIN provisioner_jobs AS import ON import.id = version.job_id
    WHERE template.id = :template_id
"""
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
             job_id, reason, provisioner_state, state_lineage, state_serial)
        SELECT :build_id, :workspace_id, :version_id, :build_number,
               CAST(:transition AS workspace_transition), :initiator_id, :job_id,
               CAST(:reason AS build_reason), previous.provisioner_state,
               previous.state_lineage, previous.state_serial
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
    WHERE earlier.workspace_build_id = :values_from
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


def create_workspace(session: Session, *, owner: User, template: Template, name: str) -> Workspace:
    """Create a workspace without a build.

    Raises:
        InvalidError: the name is not allowed.
        ConflictError: the owner has a workspace of that name, or is not active.
    """
    if owner.status is not UserStatus.ACTIVE:
        raise ConflictError(f"user {owner.username!r} is {owner.status} and cannot build")
    workspace = Workspace(
        id=uuid.uuid4(),
        owner_id=owner.id,
        organization_id=template.organization_id,
        template_id=template.id,
        name=check_name("workspace", name),
    )
    taken = f"user {owner.username!r} already has a workspace {name!r}"
    insert_named(session, workspace, taken=taken)
    return workspace


def get_workspace(session: Session, *, owner: User, name: str) -> Workspace:
    """Return the owner's workspace of that name.

    Raises:
        NotFoundError: there is none, or it was deleted.
    """
    workspace = session.scalars(
        select(Workspace).where(
            Workspace.owner_id == owner.id,
            func.lower(Workspace.name) == name.lower(),
            ~Workspace.deleted,
        )
    ).one_or_none()
    if workspace is None:
        raise NotFoundError(f"user {owner.username!r} has no workspace {name!r}")
    return workspace


def insert_build(
    session: Session,
    *,
    workspace_id: uuid.UUID,
    transition: Transition,
    initiator_id: uuid.UUID | None = None,
    template_version_id: uuid.UUID | None = None,
    parameters: Mapping[str, str] | None = None,
    reason: BuildReason = BuildReason.INITIATOR,
    trace_metadata: dict[str, Any] | None = None,
) -> EnqueuedBuild:
    """Insert a pending job and its build in the caller's transaction.

    Args:
        initiator_id: the user who asked for the build; None means the workspace's owner. Builds of
            the prebuilds user wait behind builds of people.
        template_version_id: the version to build from; None means that of the last build that
            entered apply or, if there is none, the template's active version.
        parameters: values for this build; all others are copied from the last build that entered
            apply.

    Raises:
        NotFoundError: there is no such workspace, it was deleted, or it has no usable version.
        BuildActiveError: the workspace has an unfinished build.
        ConflictError: the template version cannot be built from.
        InvalidError: a parameter cannot be stored.
    """
    workspace = lock_workspace(session, workspace_id)
    source = _read_source(session, workspace, template_version_id)
    build = EnqueuedBuild(
        build_id=uuid.uuid4(),
        job_id=uuid.uuid4(),
        workspace_id=workspace_id,
        build_number=source.build_number,
        queue=queue_name(source.tags),
    )
    given = _check_parameters(parameters or {})
    values = {
        **_job_values(build, workspace, source, initiator_id or workspace.owner_id),
        "transition": transition.value,
        "reason": reason.value,
        "trace_metadata": json.dumps(trace_metadata) if trace_metadata else None,
        "names": list(given),
        "values": list(given.values()),
    }
    _insert(session, values)
    return build


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
    build: EnqueuedBuild, workspace: Row[Any], source: _Source, initiator_id: uuid.UUID
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
        "values_from": source.values_from,
        "file_id": source.file_id,
        "provisioner": source.provisioner,
        "tags": json.dumps(source.tags),
        "input": json.dumps({"workspace_build_id": str(build.build_id)}),
    }


def _check_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    return {
        check_storable("name of a parameter", name): check_storable(
            f"value of parameter {name!r}", value
        )
        for name, value in parameters.items()
    }


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What a new build is made from."""

    previous_id: uuid.UUID | None
    values_from: uuid.UUID | None  #: the build whose values are copied
    build_number: int
    version_id: uuid.UUID
    file_id: uuid.UUID
    provisioner: str
    tags: dict[str, str]
    fair_rank: int


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


def _read_source(
    session: Session, workspace: Row[Any], template_version_id: uuid.UUID | None
) -> _Source:
    """Read the previous build and the version to build from, and check that both allow it."""
    row = session.execute(
        sql(READ_SOURCE),
        {
            "workspace_id": workspace.id,
            "template_id": workspace.template_id,
            "owner_id": workspace.owner_id,
            "wanted": template_version_id,
            "limit": FAIR_RANK_LIMIT,
        },
    ).one()
    if row.previous_status is not None and JobStatus(row.previous_status).is_active:
        raise BuildActiveError
    check_usable_version(row)
    return _Source(
        previous_id=row.previous_id,
        values_from=row.values_from,
        build_number=(row.previous_number or 0) + 1,
        version_id=row.version_id,
        file_id=row.file_id,
        provisioner=row.provisioner,
        tags=row.tags,
        fair_rank=row.fair_rank,
    )
