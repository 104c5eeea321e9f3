"""Recording events, in the transaction in which they happen."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy.orm import Session

from db.engine import sql

CHANNEL = "provisionerd_events"


class EventType(StrEnum):
    """What happened."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELED = "job.canceled"
    WORKSPACE_CREATED = "workspace.created"
    WORKSPACE_UPDATED = "workspace.updated"
    WORKSPACE_DELETED = "workspace.deleted"
    WEBHOOK_TEST = "webhook.test"


# Both return the notice, so that listeners are woken when the transaction is committed.
_JOB_END = sql(f"""
    INSERT INTO events (type, organization_id, workspace_id, owner_id, data)
    SELECT 'job.' || job.job_status, job.organization_id, job.workspace_id, job.owner_id,
           jsonb_strip_nulls(jsonb_build_object(
               'job_id', job.id,
               'job_type', job.type,
               'status', job.job_status,
               'error', job.error,
               'error_code', job.error_code,
               'initiator_id', job.initiator_id,
               'workspace_id', workspace.id,
               'workspace_name', workspace.name,
               'owner_id', owner.id,
               'owner_name', owner.username,
               'workspace_build_id', build.id,
               'build_number', build.build_number,
               'transition', build.transition,
               'daily_cost', build.daily_cost,
               'template_version_id', coalesce(build.template_version_id::text,
                                               job.input ->> 'template_version_id')
           ))
    FROM provisioner_jobs AS job
    LEFT JOIN workspace_builds AS build ON build.job_id = job.id
    LEFT JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    LEFT JOIN users AS owner ON owner.id = workspace.owner_id
    WHERE job.id = :job_id
    RETURNING pg_notify('{CHANNEL}', '')
""")  # noqa: S608 - made of a constant
_WORKSPACE = sql(f"""
    INSERT INTO events (type, organization_id, workspace_id, owner_id, data)
    SELECT :type, workspace.organization_id, workspace.id, workspace.owner_id,
           jsonb_build_object(
               'workspace_id', workspace.id,
               'workspace_name', workspace.name,
               'owner_id', owner.id,
               'owner_name', owner.username,
               'template_id', workspace.template_id
           )
    FROM workspaces AS workspace
    JOIN users AS owner ON owner.id = workspace.owner_id
    WHERE workspace.id = :workspace_id
    RETURNING pg_notify('{CHANNEL}', '')
""")  # noqa: S608 - made of a constant


def record_job_end(session: Session, job_id: uuid.UUID) -> None:
    """Record that a job has ended, as its row now says."""
    session.execute(_JOB_END, {"job_id": job_id})


def record_workspace(session: Session, workspace_id: uuid.UUID, kind: EventType) -> None:
    """Record that a workspace was created, changed or deleted, as its row now says."""
    session.execute(_WORKSPACE, {"workspace_id": workspace_id, "type": kind.value})
