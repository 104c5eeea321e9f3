"""Push a state to a workspace without a build. The next build starts from it.

The state is written to the latest build, where the next build reads it. The state that it replaces
is kept in ``replaced_states``, and the change is recorded in the audit log.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit_workspace
from db.catalog.sources import lock_workspace
from db.engine import sql
from db.errors import (
    BuildActiveError,
    ConflictError,
    InvalidError,
    NotFoundError,
    SealedError,
    StateRefusedError,
)
from db.jobs.logs import LogRow, daemon_line, insert_lines
from db.jobs.statefiles import StateFile, managed_resources, parse_state_file
from db.jobs.states import State
from db.schema.enums import LogLevel
from db.sealing.states import open_state, seal_state

LOG_STAGE = "Adopting an orphaned state"


@dataclass(frozen=True, kw_only=True)
class PushedState:
    """The result of a push: the new state, and the one that it replaced."""

    workspace_id: uuid.UUID
    workspace_name: str
    owner_name: str
    build_number: int  #: of the build that it was written to
    position: int  #: how many states were pushed to that build; see ``ReplacedState``
    is_changed: bool  #: False: it already was the workspace's state
    lineage: str
    serial: int
    old_lineage: str | None  #: None: there was no state
    old_serial: int | None
    dropped: Sequence[str]  #: resources that only the replaced state has


READ_LATEST = sql("""
    SELECT latest.id, latest.build_number, build.provisioner_state, build.state_lineage,
           build.state_serial, build.checkpoint_at, job.completed_at,
           owner.username AS owner_name,
           (SELECT count(*) FROM replaced_states
            WHERE workspace_build_id = latest.id) AS position
    FROM workspaces AS workspace
    JOIN users AS owner ON owner.id = workspace.owner_id
    LEFT JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
    LEFT JOIN workspace_builds AS build ON build.id = latest.id
    LEFT JOIN provisioner_jobs AS job ON job.id = build.job_id
    WHERE workspace.id = :workspace_id
""")
KEEP_REPLACED = sql("""
    INSERT INTO replaced_states (workspace_build_id, position, provisioner_state, state_lineage,
                                 state_serial, stored_at)
    SELECT id, :position, provisioner_state, state_lineage, state_serial, checkpoint_at
    FROM workspace_builds
    WHERE id = :id
""")
REPLACE = sql("""
    UPDATE workspace_builds
    SET provisioner_state = :data, state_lineage = :lineage, state_serial = :serial,
        checkpoint_at = now(), updated_at = now()
    WHERE id = :id
""")


def push_state(
    session: Session,
    *,
    workspace_id: uuid.UUID,
    data: bytes,
    actor: Actor,
    force: bool = False,
    adopted_job_id: uuid.UUID | None = None,
) -> PushedState:
    """Make ``data`` the state that the workspace's next build starts from.

    Pushing the state that is already stored changes nothing; it is not an error.

    Args:
        data: a Terraform state file.
        force: accept another lineage, or a serial that is not higher.
        adopted_job_id: the job that left this state, if it is an orphaned state.

    Raises:
        InvalidError: ``data`` is not a state file, or larger than ``MAX_STATE_BYTES``.
        NotFoundError: there is no such workspace, or it was deleted.
        BuildActiveError: the workspace has an unfinished build.
        ConflictError: the workspace has not been built yet.
        StateRefusedError: it has another lineage or no higher serial, and ``force`` is not set.
    """
    given = parse_state_file(data)
    workspace = lock_workspace(session, workspace_id)
    latest = session.execute(READ_LATEST, {"workspace_id": workspace_id}).one()
    _check_build(latest)
    pushed = _pushed(workspace, latest, given, _old_state(session, workspace, latest))
    if not pushed.is_changed:
        return pushed
    if not force:
        _check_follows(latest, given.state)
    session.execute(KEEP_REPLACED, {"id": latest.id, "position": latest.position})
    session.execute(
        REPLACE,
        {
            "id": latest.id,
            "data": seal_state(session, data, workspace_id=workspace_id, build_id=latest.id),
            "lineage": pushed.lineage,
            "serial": pushed.serial,
        },
    )
    audit_workspace(
        session,
        actor=actor,
        action=AuditAction.ADOPT_STATE if adopted_job_id else AuditAction.PUSH_STATE,
        workspace=workspace,
        owner_name=latest.owner_name,
        diff=_diff(pushed),
        facts={
            "build_number": pushed.build_number,
            "position": pushed.position,
            "forced": force,
            "adopted_job_id": str(adopted_job_id) if adopted_job_id else None,
        },
    )
    return pushed


def adopt_state(
    session: Session,
    *,
    job_id: uuid.UUID,
    data: bytes,
    actor: Actor,
    workspace_id: uuid.UUID | None = None,
    force: bool = False,
) -> PushedState:
    """Push an orphaned state to the workspace of the build that left it.

    Args:
        job_id: the job of that build.
        workspace_id: the workspace; needed if the job was pruned.

    Raises:
        NotFoundError: the job is not the job of a build, or was pruned.
        InvalidError: the job was a build of another workspace.
        RequestError: every other error of ``push_state``.
    """
    of_job = _workspace_of(session, job_id)
    found = of_job or workspace_id
    if found is None:
        raise NotFoundError(
            f"job {job_id} is not the job of a build, or was pruned; name the workspace"
        )
    if workspace_id not in {None, found}:
        raise InvalidError(f"job {job_id} was a build of another workspace")
    pushed = push_state(
        session,
        workspace_id=found,
        data=data,
        actor=actor,
        force=force,
        adopted_job_id=job_id,
    )
    if pushed.is_changed and of_job is not None:
        insert_lines(session, job_id, [_line(pushed, actor)])
    return pushed


def _line(pushed: PushedState, actor: Actor) -> LogRow:
    """Return the line about the adoption, for the log of the build that left the state."""
    output = (
        f"{actor.username} adopted the state that was put aside (serial {pushed.serial});"
        f" the next build after build {pushed.build_number} starts from it"
    )
    return daemon_line(LogLevel.INFO, output, stage=LOG_STAGE)


def _workspace_of(session: Session, job_id: uuid.UUID) -> uuid.UUID | None:
    query = sql("SELECT workspace_id FROM workspace_builds WHERE job_id = :job_id")
    found: uuid.UUID | None = session.execute(query, {"job_id": job_id}).scalar_one_or_none()
    return found


def _check_build(latest: Row[Any]) -> None:
    if latest.id is None:
        raise ConflictError("the workspace has not been built yet, so it cannot have a state")
    if latest.completed_at is None:
        raise BuildActiveError


def _check_follows(latest: Row[Any], given: State) -> None:
    if latest.provisioner_state is None:
        return
    if given.lineage != latest.state_lineage:
        raise StateRefusedError(
            f"the state has lineage {given.lineage}, but the workspace's has {latest.state_lineage}"
        )
    if given.serial <= latest.state_serial:
        raise StateRefusedError(
            f"the state has serial {given.serial}, which is not higher than the workspace's"
            f" {latest.state_serial}"
        )


def _old_state(session: Session, workspace: Row[Any], latest: Row[Any]) -> bytes | None:
    """Return the state that is replaced; None, too, if it does not open.

    So a push of a state from a backup gets over a lost key. The sealed state is kept.
    """
    try:
        return open_state(
            session,
            latest.provisioner_state,
            workspace_id=workspace.id,
            build_id=latest.id,
            is_own=latest.checkpoint_at is not None,
        )
    except SealedError:
        return None


def _pushed(
    workspace: Row[Any], latest: Row[Any], given: StateFile, old: bytes | None
) -> PushedState:
    is_changed = old != given.state.data
    return PushedState(
        workspace_id=workspace.id,
        workspace_name=workspace.name,
        owner_name=latest.owner_name,
        build_number=latest.build_number,
        position=latest.position + is_changed,
        is_changed=is_changed,
        lineage=given.state.lineage,
        serial=given.state.serial,
        old_lineage=latest.state_lineage,
        old_serial=latest.state_serial,
        dropped=sorted(managed_resources(old) - given.managed),
    )


def _diff(pushed: PushedState) -> Mapping[str, object]:
    return {
        "lineage": {"old": pushed.old_lineage, "new": pushed.lineage},
        "serial": {"old": pushed.old_serial, "new": pushed.serial},
    }
