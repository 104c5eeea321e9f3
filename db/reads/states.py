"""The states that a workspace has had, and each of them as a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.errors import NotFoundError
from db.reads.listings import LIMIT
from db.schema.enums import JobStatus, Transition

# A build's own row has the newest of its states, replaced_states those before. Uses:
# uq_workspace_builds_workspace_id_build_number, uq_replaced_states_workspace_build_id_position.
# A size is read without the state itself.
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
_ONE = text(f"""
    SELECT build_number, position, provisioner_state AS data, state_lineage AS lineage,
           state_serial AS serial
    FROM ({_STATES}) AS state
    WHERE build_number = :build_number AND position = :position
""")  # noqa: S608 - made of constants
_NEWEST = text(f"""
    SELECT build_number, position, provisioner_state AS data, state_lineage AS lineage,
           state_serial AS serial
    FROM ({_STATES}) AS state
    WHERE provisioner_state IS NOT NULL
    ORDER BY build_number DESC, position DESC
    LIMIT 1
""")  # noqa: S608 - made of constants

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
    position: int  #: 0: the build left it; k: the kth one that was pushed after the build
    transition: Transition
    status: JobStatus  #: of the build's job
    job_id: uuid.UUID
    lineage: str | None
    serial: int | None
    size: int | None  #: in bytes; None: there is none, or it was pruned
    stored_at: datetime | None  #: None: the build stored none, and has the one it started from
    is_current: bool  #: the next build starts from it


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """A state as a file."""

    build_number: int
    position: int
    data: bytes
    lineage: str
    serial: int


@dataclass(frozen=True, kw_only=True)
class BuildOfJob:
    """Which build a job was."""

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
    rows = session.execute(_LIST, {"workspace_id": workspace_id, "limit": limit})
    return [
        StateListing(
            **{
                **row._asdict(),
                "transition": Transition(row.transition),
                "status": JobStatus(row.status),
            }
        )
        for row in rows
    ]


def get_state(
    session: Session,
    workspace_id: uuid.UUID,
    *,
    build_number: int | None = None,
    position: int = 0,
) -> StoredState:
    """Return a state of a workspace; the newest that there is when no build is named.

    Args:
        position: 0 for the state that the build left, k for the kth one pushed after it.

    Raises:
        NotFoundError: there is no such build, it has no such state, or the state was pruned.
    """
    if build_number is None:
        row = session.execute(_NEWEST, {"workspace_id": workspace_id}).one_or_none()
        if row is None:
            raise NotFoundError("the workspace has no state")
        return StoredState(**row._asdict())
    label = state_label(build_number, position)
    row = session.execute(
        _ONE,
        {"workspace_id": workspace_id, "build_number": build_number, "position": position},
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"the workspace has no build {label}, or it was pruned")
    if row.data is None:
        why = "has no state" if row.lineage is None else "had a state, which was pruned"
        raise NotFoundError(f"build {label} of the workspace {why}")
    return StoredState(**row._asdict())


def builds_of_jobs(
    session: Session, job_ids: Iterable[uuid.UUID]
) -> Mapping[uuid.UUID, BuildOfJob]:
    """Return the builds that these jobs were; those that are not, or were pruned, are left out."""
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
    """Return what people call a state: ``5`` is what build 5 left, ``5.1`` was pushed after it."""
    return f"{build_number}.{position}" if position else str(build_number)
