"""Terraform states of workspaces: identified, guarded, never replaced by something older.

A state names its lineage (which resources it is about) and its serial (which grows with each
change). A stored state is replaced only by one of the same lineage whose serial is not lower.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import LeaseLostError
from db.jobs.leases import Lease
from db.jobs.logs import RECOVERY_HEADING, daemon_line, insert_lines
from db.schema.enums import LogLevel
from db.texts import storable

MAX_SERIAL = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class State:
    """A Terraform state file and what identifies it."""

    data: bytes
    lineage: str
    serial: int


def read_state(data: bytes | None) -> State | None:
    """Return the state in ``data``, or None when it is absent, cut off or not a state."""
    try:
        content = json.loads(data or b"")
        lineage, serial = content["lineage"], content["serial"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if not isinstance(lineage, str) or not lineage or type(serial) is not int or data is None:
        return None
    if storable(lineage) != lineage or not 0 <= serial <= MAX_SERIAL:
        return None
    return State(data=data, lineage=lineage, serial=serial)


def store_state(session: Session, lease: Lease, *, state: State) -> bool:
    """Store a checkpoint of the build's state; return whether it replaced the stored one.

    It does not when the stored state is of another lineage or has a higher serial.

    Raises:
        LeaseLostError: the token is no longer the job's.
    """
    held = session.execute(
        # Nobody takes the job over before this transaction has ended.
        sql("""
            SELECT 1
            FROM provisioner_jobs
            WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NULL
            FOR SHARE
        """),
        lease.parameters,
    ).first()
    if held is None:
        raise LeaseLostError(lease.job_id)
    return replace_state(session, job_id=lease.job_id, state=state)


def replace_state(session: Session, *, job_id: uuid.UUID, state: State) -> bool:
    """Write the state on the job's build unless that has a newer one or one of another lineage.

    The caller guards who may write. Returns whether the state was written.
    """
    replaced = session.execute(
        sql("""
            UPDATE workspace_builds
            SET provisioner_state = :data,
                state_lineage = :lineage,
                state_serial = :serial,
                checkpoint_at = now(),
                updated_at = now()
            WHERE job_id = :job_id
              AND (provisioner_state IS NULL
                   OR (state_lineage = :lineage AND state_serial <= :serial))
            RETURNING 1
        """),
        {"job_id": job_id, "data": state.data, "lineage": state.lineage, "serial": state.serial},
    )
    return replaced.first() is not None


class RecoveredState(StrEnum):
    """What became of a state that was found on disk."""

    STORED = "stored"  #: it was newer than the stored one, and replaced it
    SETTLED = "settled"  #: it was not newer, or its build had not come to apply
    KEPT = "kept"  #: it must not replace the stored one; a person has to look at it


# The state that the build itself left, which is no longer on its row once another one was pushed.
FIND_CLOSED_BUILD = sql("""
    SELECT build.workspace_id, build.build_number, job.completed_at,
           own.position IS NOT NULL AS is_pushed,
           CASE WHEN own.position IS NULL THEN build.state_lineage ELSE own.state_lineage END
               AS state_lineage,
           CASE WHEN own.position IS NULL THEN build.state_serial ELSE own.state_serial END
               AS state_serial
    FROM workspace_builds AS build
    JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    JOIN provisioner_jobs AS job ON job.id = build.job_id
    LEFT JOIN replaced_states AS own ON own.workspace_build_id = build.id AND own.position = 0
    WHERE build.job_id = :job_id
    FOR UPDATE OF workspace
""")
RECOVERY_LINES: Mapping[RecoveredState, str] = {
    RecoveredState.STORED: "a newer state (serial {serial}) was found on the worker's host and"
    " stored; the next build of the workspace starts from it",
    RecoveredState.KEPT: "a newer state (serial {serial}) was found on the worker's host, but the"
    " workspace has changed since; it was put aside, see `provisionerd state list`",
}
FIND_LATER_BUILDS = sql("""
    SELECT build.job_id,
           job.started_at IS NOT NULL AS begun,
           EXISTS (SELECT 1 FROM replaced_states WHERE workspace_build_id = build.id) AS is_pushed
    FROM workspace_builds AS build
    JOIN provisioner_jobs AS job ON job.id = build.job_id
    WHERE build.workspace_id = :workspace_id AND build.build_number > :build_number
""")


def store_recovered_state(session: Session, *, job_id: uuid.UUID, state: State) -> RecoveredState:
    """Store a state found on disk after its build was closed.

    For a worker that was lost or paused during apply. It is also copied into a later build
    that has not begun. It is kept for a person when it must not replace what is stored: a later
    build has begun, which started from the stored state, so that its own state is now the truth;
    a person has pushed another state meanwhile; or it is of another lineage. The job's log says
    what became of it.
    """
    outcome = _store_recovered(session, job_id=job_id, state=state)
    if text := RECOVERY_LINES.get(outcome):
        line = daemon_line(LogLevel.WARN, text.format(serial=state.serial), stage=RECOVERY_HEADING)
        insert_lines(session, job_id, (line,))
    return outcome


def _store_recovered(session: Session, *, job_id: uuid.UUID, state: State) -> RecoveredState:
    build = session.execute(FIND_CLOSED_BUILD, {"job_id": job_id}).one_or_none()
    if build is None or build.completed_at is None:
        # Not closed means that another attempt runs it: this one had not come to apply.
        return RecoveredState.SETTLED
    if build.state_lineage == state.lineage and build.state_serial >= state.serial:
        return RecoveredState.SETTLED
    later = session.execute(FIND_LATER_BUILDS, build._asdict()).all()
    if build.is_pushed or any(row.begun or row.is_pushed for row in later):
        return RecoveredState.KEPT
    if not replace_state(session, job_id=job_id, state=state):
        return RecoveredState.KEPT
    for row in later:
        replace_state(session, job_id=row.job_id, state=state)
    return RecoveredState.STORED
