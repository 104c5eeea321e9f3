"""Delete a workspace as an orphan: without Terraform and without a worker."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit_workspace
from db.catalog.builds import EnqueuedBuild, insert_build
from db.catalog.sources import lock_workspace
from db.engine import sql
from db.errors import SealedError
from db.jobs.events import EventType, record_workspace
from db.jobs.finish import orphan_job
from db.jobs.logs import LogRow, daemon_line
from db.jobs.reaper import reap_abandoned_build
from db.jobs.statefiles import managed_resources
from db.schema.enums import LogLevel, Transition
from db.sealing.states import open_state

LOG_STAGE = "Deleting the workspace as an orphan"


@dataclass(frozen=True, kw_only=True)
class OrphanedWorkspace:
    """A workspace that was deleted while its resources may still exist."""

    workspace_id: uuid.UUID
    build: EnqueuedBuild | None  #: the finished delete; None: the workspace was never built
    resources: Sequence[str]  #: addresses in its last state


READ_LAST = sql("""
    SELECT workspace.owner_id, owner.username AS owner_name,
           latest.id AS build_id, latest.template_version_id,
           build.provisioner_state, build.state_lineage, build.state_serial,
           build.checkpoint_at
    FROM workspaces AS workspace
    JOIN users AS owner ON owner.id = workspace.owner_id
    LEFT JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
    LEFT JOIN workspace_builds AS build ON build.id = latest.id
    WHERE workspace.id = :workspace_id
""")


def orphan_workspace(
    session: Session, *, workspace_id: uuid.UUID, actor: Actor
) -> OrphanedWorkspace:
    """Mark a workspace as deleted without destroying its resources. Its credits become free.

    A build whose worker was lost, and that no other worker has swept for a minute, is ended before.
    The last state is kept and copied to the delete build, so it can be pulled for as long as that
    job is kept. The initiator of the build is the actor, or the workspace's owner if the actor is
    not a user of the platform.

    Raises:
        NotFoundError: there is no such workspace, or it was deleted.
        BuildActiveError: the workspace has an unfinished build.
    """
    workspace = lock_workspace(session, workspace_id)
    reap_abandoned_build(session, workspace_id=workspace_id)
    last = session.execute(READ_LAST, {"workspace_id": workspace_id}).one()
    state, problem = _last_state(session, workspace_id, last)
    resources = sorted(managed_resources(state))
    line = _line(resources, actor, problem)
    build = _delete_by_build(session, workspace_id, last, line, actor)
    if build is None:
        session.execute(
            sql("UPDATE workspaces SET deleted = true, updated_at = now() WHERE id = :id"),
            {"id": workspace_id},
        )
        record_workspace(session, workspace_id, EventType.WORKSPACE_DELETED)
    audit_workspace(
        session,
        actor=actor,
        action=AuditAction.DELETE_ORPHAN,
        workspace=workspace,
        owner_name=last.owner_name,
        diff={"deleted": {"old": False, "new": True}},
        facts={
            "build_number": build.build_number if build else None,
            "lineage": last.state_lineage,
            "serial": last.state_serial,
            "resources": len(resources),
        },
    )
    return OrphanedWorkspace(workspace_id=workspace_id, build=build, resources=resources)


def _delete_by_build(
    session: Session,
    workspace_id: uuid.UUID,
    last: Row[Any],
    line: LogRow,
    actor: Actor,
) -> EnqueuedBuild | None:
    """Insert a delete and finish it; None if the workspace was never built."""
    if last.build_id is None:
        return None
    build = insert_build(
        session,
        workspace_id=workspace_id,
        transition=Transition.DELETE,
        initiator_id=actor.user_id,
        # An earlier build used it, so it is not refused; and it is never read again.
        template_version_id=last.template_version_id,
    )
    orphan_job(session, job_id=build.job_id, line=line)
    return build


def _last_state(
    session: Session, workspace_id: uuid.UUID, last: Row[Any]
) -> tuple[bytes | None, str]:
    """Return the last state, and why it does not open, if it does not.

    A workspace whose key is lost can still be deleted.
    """
    try:
        state = open_state(
            session,
            last.provisioner_state,
            workspace_id=workspace_id,
            build_id=last.build_id,
            is_own=last.checkpoint_at is not None,
        )
    except SealedError as error:
        return None, str(error)
    return state, ""


def _line(resources: Sequence[str], actor: Actor, problem: str) -> LogRow:
    output = f"{actor.username} deleted the workspace without destroying anything; "
    if problem:
        output += f"what its last state lists may still exist: {problem}"
        return daemon_line(LogLevel.WARN, output, stage=LOG_STAGE)
    if not resources:
        return daemon_line(
            LogLevel.INFO, output + "its last state has no resources", stage=LOG_STAGE
        )
    output += f"what its last state lists may still exist ({len(resources)}): "
    return daemon_line(LogLevel.WARN, output + ", ".join(resources), stage=LOG_STAGE)
