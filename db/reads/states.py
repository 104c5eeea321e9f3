"""The states that a workspace has had: a list of them, and each of them as a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.errors import NotFoundError
from db.reads.listings import LIMIT, read_row
from db.schema.enums import JobStatus, Transition
from db.sealing.envelope import HEAD_BYTES
from db.sealing.states import open_state
from db.sealing.values import size_of

# The row of a build has its newest state; replaced_states has the earlier ones. PostgreSQL knows
# the size of a state without reading the state. Uses:
# uq_workspace_builds_workspace_id_build_number, uq_replaced_states_workspace_build_id_position.
_STATES = """
    SELECT build.id AS build_id, build.workspace_id, build.build_number, build.transition,
           build.job_id,
           (SELECT count(*) FROM replaced_states
            WHERE workspace_build_id = build.id)::integer AS position,
           build.provisioner_state, build.state_lineage, build.state_serial,
           build.checkpoint_at AS stored_at
    FROM workspace_builds AS build
    WHERE build.workspace_id = :workspace_id
    UNION ALL
    SELECT build.id, build.workspace_id, build.build_number, build.transition, build.job_id,
           replaced.position,
           replaced.provisioner_state, replaced.state_lineage, replaced.state_serial,
           replaced.stored_at
    FROM workspace_builds AS build
    JOIN replaced_states AS replaced ON replaced.workspace_build_id = build.id
    WHERE build.workspace_id = :workspace_id
"""
_LIST = text(f"""
    SELECT owner.username || '/' || workspace.name AS workspace,
           state.build_number, state.position, state.transition::text, state.job_id,
           job.job_status::text AS status,
           state.state_lineage AS lineage, state.state_serial AS serial,
           octet_length(state.provisioner_state) AS size,
           substring(state.provisioner_state FROM 1 FOR :head) AS head,
           state.stored_at,
           NOT workspace.deleted
               AND state.provisioner_state IS NOT NULL
               AND row_number() OVER newest = 1 AS is_current
    FROM ({_STATES}) AS state
    JOIN workspaces AS workspace ON workspace.id = state.workspace_id
    JOIN users AS owner ON owner.id = workspace.owner_id
    JOIN provisioner_jobs AS job ON job.id = state.job_id
    WINDOW newest AS (ORDER BY state.build_number DESC, state.position DESC)
    ORDER BY state.build_number DESC, state.position DESC
    LIMIT :limit
""")  # noqa: S608 - made of constants
_ONE = f"""
    SELECT build_number, position, provisioner_state AS data, state_lineage AS lineage,
           state_serial AS serial, build_id, workspace_id, stored_at IS NOT NULL AS is_own
    FROM ({_STATES}) AS state
    WHERE build_number = :build_number AND position = :position
"""  # noqa: S608 - made of constants
_NEWEST = f"""
    SELECT build_number, position, provisioner_state AS data, state_lineage AS lineage,
           state_serial AS serial, build_id, workspace_id, stored_at IS NOT NULL AS is_own
    FROM ({_STATES}) AS state
    WHERE provisioner_state IS NOT NULL
    ORDER BY build_number DESC, position DESC
    LIMIT 1
"""  # noqa: S608 - made of constants

# Uses: uq_workspace_builds_job_id.
_OF_JOBS = text("""
    SELECT build.job_id, build.workspace_id, build.build_number, build.transition::text,
           job.job_status::text AS status,
           owner.username || '/' || workspace.name AS workspace
    FROM workspace_builds AS build
    JOIN provisioner_jobs AS job ON job.id = build.job_id
    JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    JOIN users AS owner ON owner.id = workspace.owner_id
    WHERE build.job_id = ANY(:job_ids)
""")


@dataclass(frozen=True, kw_only=True)
class StateListing:
    """A state that a build left, or that was pushed after it."""

    workspace: str  #: OWNER/NAME
    build_number: int
    position: int  #: 0: the build left it; k: the kth state pushed after the build
    transition: Transition
    status: JobStatus  #: of the build's job
    job_id: uuid.UUID
    lineage: str | None
    serial: int | None
    size: int | None  #: in bytes; None: there is no state, or it was pruned
    stored_at: datetime | None  #: None: the build did not store it, but started from it
    is_current: bool  #: the next build starts from it


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """A state file, and where it is stored."""

    build_number: int
    position: int
    data: bytes
    lineage: str
    serial: int


@dataclass(frozen=True, kw_only=True)
class BuildOfJob:
    """The build that a job ran."""

    job_id: uuid.UUID
    workspace_id: uuid.UUID
    workspace: str  #: OWNER/NAME
    build_number: int
    transition: Transition
    status: JobStatus


def list_states(
    session: Session, workspace_id: uuid.UUID, *, limit: int = LIMIT
) -> list[StateListing]:
    """Return the states of a workspace, newest first; each build has at least one row."""
    rows = session.execute(
        _LIST, {"workspace_id": workspace_id, "limit": limit, "head": HEAD_BYTES}
    )
    return [_listing(row) for row in rows]


def _listing(row: Row[Any]) -> StateListing:
    fields = row._asdict()
    head = fields.pop("head")
    return StateListing(
        **{
            **fields,
            "size": size_of(head, row.size),
            "transition": Transition(row.transition),
            "status": JobStatus(row.status),
        }
    )


def get_state(
    session: Session,
    workspace_id: uuid.UUID,
    *,
    build_number: int | None = None,
    position: int = 0,
) -> StoredState:
    """Return a state of a workspace: the newest one if no build is given.

    Args:
        position: 0 for the state that the build left, k for the kth state pushed after it.

    Raises:
        NotFoundError: there is no such build, it has no such state, or the state was pruned.
        SealedError: the state is sealed, and does not open.
    """
    if build_number is None:
        return _newest_state(session, workspace_id)
    label = state_label(build_number, position)
    row = read_row(
        session,
        _ONE,
        missing=f"the workspace has no build {label}, or it was pruned",
        workspace_id=workspace_id,
        build_number=build_number,
        position=position,
    )
    if row.data is None:
        raise _missing_state(label, was_pruned=row.lineage is not None)
    return _stored(session, row)


def _missing_state(label: str, *, was_pruned: bool) -> NotFoundError:
    why = "had a state, which was pruned" if was_pruned else "has no state"
    return NotFoundError(f"build {label} of the workspace {why}")


def _newest_state(session: Session, workspace_id: uuid.UUID) -> StoredState:
    missing = "the workspace has no state"
    row = read_row(session, _NEWEST, missing=missing, workspace_id=workspace_id)
    return _stored(session, row)


def _stored(session: Session, row: Row[Any]) -> StoredState:
    return StoredState(
        build_number=row.build_number,
        position=row.position,
        data=_opened(session, row) or b"",
        lineage=row.lineage,
        serial=row.serial,
    )


def find_build_state(session: Session, build_id: uuid.UUID) -> bytes | None:
    """Return the newest state of a build, or None.

    Raises:
        SealedError: it is sealed, and does not open.
    """
    row = session.execute(
        text("""
            SELECT id AS build_id, workspace_id, provisioner_state AS data,
                   checkpoint_at IS NOT NULL AS is_own
            FROM workspace_builds
            WHERE id = :id
        """),
        {"id": build_id},
    ).one_or_none()
    return None if row is None else _opened(session, row)


def _opened(session: Session, row: Row[Any]) -> bytes | None:
    return open_state(
        session,
        row.data,
        workspace_id=row.workspace_id,
        build_id=row.build_id,
        is_own=row.is_own,
    )


def builds_of_jobs(
    session: Session, job_ids: Iterable[uuid.UUID]
) -> Mapping[uuid.UUID, BuildOfJob]:
    """Return the builds of these jobs. Jobs that were pruned or ran no build are left out."""
    rows = session.execute(_OF_JOBS, {"job_ids": list(job_ids)})
    return {
        row.job_id: BuildOfJob(
            **{
                **row._asdict(),
                "transition": Transition(row.transition),
                "status": JobStatus(row.status),
            }
        )
        for row in rows
    }


def state_label(build_number: int, position: int) -> str:
    """Return the label of a state: ``5`` for the state of build 5, ``5.1`` for one pushed to it."""
    return f"{build_number}.{position}" if position else str(build_number)
