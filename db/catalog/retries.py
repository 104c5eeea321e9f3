"""Which build repeats one that failed or was canceled."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit
from db.catalog.builds import EnqueuedBuild
from db.catalog.sources import lock_workspace
from db.engine import sql
from db.errors import ConflictError, NotFoundError
from db.schema.enums import JobStatus, Transition
from db.sealing.places import parameter_of
from db.sealing.values import open_texts

RETRIED = frozenset({JobStatus.FAILED, JobStatus.CANCELED})

# Values that the new build would get anyhow are left out. Those of a stop would be judged again.
_FAILED = sql("""
    SELECT job.job_status::text AS status, build.id AS build_id, build.workspace_id,
           build.transition::text, build.template_version_id, build.build_number,
           workspace.name, workspace.organization_id, owner.username AS owner_name,
           (SELECT max(build_number) FROM workspace_builds AS one
            WHERE one.workspace_id = build.workspace_id) AS latest_number,
           (SELECT coalesce(json_object_agg(given.name, given.value), '{}')
            FROM workspace_build_parameters AS given
            LEFT JOIN workspace_build_parameters AS kept
                   ON kept.workspace_build_id = applied.id AND kept.name = given.name
            WHERE given.workspace_build_id = build.id
              AND kept.value IS DISTINCT FROM given.value) AS parameters
    FROM provisioner_jobs AS job
    JOIN workspace_builds AS build ON build.job_id = job.id
    JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    JOIN users AS owner ON owner.id = workspace.owner_id
    LEFT JOIN LATERAL (
        SELECT id
        FROM applied_workspace_builds
        WHERE workspace_id = build.workspace_id
        ORDER BY build_number DESC
        LIMIT 1
    ) AS applied ON true
    WHERE job.id = :job_id
""")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """The request that repeats a build, and what the audit log says about it."""

    job_id: uuid.UUID  #: the job that is retried
    workspace_id: uuid.UUID
    organization_id: uuid.UUID
    workspace: str  #: OWNER/NAME
    transition: Transition
    template_version_id: uuid.UUID
    parameters: Mapping[str, str]  #: the values that were chosen for the build


def find_retry(session: Session, job_id: uuid.UUID) -> Retry:
    """Return the request that repeats the job's build, with its workspace locked until the end.

    Nothing is retried automatically: a new build is a decision, and it is charged like any other.

    Raises:
        NotFoundError: there is no such job, or its workspace was deleted.
        ConflictError: it is not the job of a build, it has not failed, or a later build exists.
        SealedError: a value is sealed, and does not open.
    """
    workspace_id = _workspace_of(session, job_id)
    lock_workspace(session, workspace_id)
    row = session.execute(_FAILED, {"job_id": job_id}).one()
    _check(row)
    return Retry(
        job_id=job_id,
        workspace_id=workspace_id,
        organization_id=row.organization_id,
        workspace=f"{row.owner_name}/{row.name}",
        transition=Transition(row.transition),
        template_version_id=row.template_version_id,
        parameters=open_texts(session, row.parameters, partial(parameter_of, workspace_id)),
    )


def audit_retry(session: Session, retry: Retry, build: EnqueuedBuild, *, actor: Actor) -> None:
    """Record a retry in the audit log, in the transaction that enqueues the new build."""
    audit(
        session,
        actor=actor,
        action=AuditAction.RETRY,
        organization_id=retry.organization_id,
        resource=("workspace", retry.workspace_id, retry.workspace),
        facts={"retried_job_id": str(retry.job_id), "build_number": build.build_number},
    )


def _workspace_of(session: Session, job_id: uuid.UUID) -> uuid.UUID:
    row = session.execute(
        sql("SELECT type::text, workspace_id FROM provisioner_jobs WHERE id = :job_id"),
        {"job_id": job_id},
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    if row.workspace_id is None or row.type != "workspace_build":
        raise ConflictError("Only the job of a workspace build can be retried.")
    return uuid.UUID(str(row.workspace_id))


def _check(row: Row[Any]) -> None:
    if JobStatus(row.status) not in RETRIED:
        raise ConflictError(f"The job is {row.status}; only a failed or canceled one is retried.")
    if row.build_number != row.latest_number:
        raise ConflictError("The workspace has a later build.")
