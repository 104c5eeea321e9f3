"""Terraform states of workspaces: identified, guarded, never replaced by something older.

A state has a lineage (an ID that it keeps for its whole life) and a serial (a number that grows
with each change). A stored state is only replaced by one of the same lineage with a serial that is
not lower.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.leases import Lease, held_row
from db.jobs.logs import RECOVERY_HEADING, daemon_line, insert_lines
from db.schema.enums import LogLevel
from db.sealing.states import seal_state_of_job
from db.texts import storable

MAX_SERIAL = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class State:
    """A Terraform state file and what identifies it."""

    data: bytes
    lineage: str
    serial: int


def read_state(data: bytes | None) -> State | None:
    """Return the state in ``data``; None if it is missing, truncated or not a state."""
    if data is None:
        return None
    try:
        content = json.loads(data)
        lineage, serial = content["lineage"], content["serial"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if not (_is_lineage(lineage) and _is_serial(serial)):
        return None
    return State(data=data, lineage=lineage, serial=serial)


def _is_lineage(value: object) -> bool:
    return isinstance(value, str) and value != "" and storable(value) == value


def _is_serial(value: object) -> bool:
    # Not isinstance: a bool is an int, too.
    return type(value) is int and 0 <= value <= MAX_SERIAL


def store_state(session: Session, lease: Lease, *, state: State) -> bool:
    """Store a checkpoint of the build's state; return whether it replaced the stored one.

    It did not if the stored state has another lineage or a higher serial.

    Raises:
        LeaseLostError: the token is no longer the job's.
    """
    # The lock keeps the job from being taken over before this transaction ends.
    held_row(
        session,
        lease,
        sql("""
            SELECT 1
            FROM provisioner_jobs
            WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NULL
            FOR SHARE
        """),
    )
    return replace_state(session, job_id=lease.job_id, state=state)


def replace_state(session: Session, *, job_id: uuid.UUID, state: State) -> bool:
    """Write the state to the job's build, unless that has a newer one or another lineage.

    The caller must have checked the lease. Returns whether the state was written.
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
        {
            "job_id": job_id,
            "data": seal_state_of_job(session, state.data, job_id),
            "lineage": state.lineage,
            "serial": state.serial,
        },
    )
    return replaced.first() is not None


class RecoveredState(StrEnum):
    """What was done with a state that was found on disk."""

    STORED = "stored"  #: it was newer than the stored state, and replaced it
    SETTLED = "settled"  #: it was not newer, or its build had not reached apply
    KEPT = "kept"  #: it must not replace the stored state; a person must decide


# Reads the state that the build itself left: after a push it is in replaced_states.
FIND_BUILD = sql("""
    SELECT build.workspace_id, build.build_number, job.completed_at,
           job.attempt + job.drains AS claims,
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
           job.started_at IS NOT NULL AS has_started,
           EXISTS (SELECT 1 FROM replaced_states WHERE workspace_build_id = build.id) AS is_pushed
    FROM workspace_builds AS build
    JOIN provisioner_jobs AS job ON job.id = build.job_id
    WHERE build.workspace_id = :workspace_id AND build.build_number > :build_number
""")


def store_recovered_state(
    session: Session, *, job_id: uuid.UUID, claim: int, state: State
) -> RecoveredState:
    """Store a state that was found on disk after its job had finished.

    This happens when a worker is lost or paused during apply. The state is also copied to a later
    build that has not started. It is kept for a person if it must not replace the stored state:

    - a later build has started, from the stored state, so that build's state is the newest;
    - a person has pushed another state;
    - it has another lineage.

    The job's log says what was done with it.

    Args:
        claim: which claim of the job left it. Only the last one can have reached apply.
    """
    outcome = _store_recovered(session, job_id=job_id, claim=claim, state=state)
    if text := RECOVERY_LINES.get(outcome):
        line = daemon_line(LogLevel.WARN, text.format(serial=state.serial), stage=RECOVERY_HEADING)
        insert_lines(session, job_id, (line,))
    return outcome


def _store_recovered(
    session: Session, *, job_id: uuid.UUID, claim: int, state: State
) -> RecoveredState:
    build = session.execute(FIND_BUILD, {"job_id": job_id}).one_or_none()
    if build is None or _is_settled(build, claim, state):
        return RecoveredState.SETTLED
    later = session.execute(FIND_LATER_BUILDS, build._asdict()).all()
    if _is_superseded(build, later) or not replace_state(session, job_id=job_id, state=state):
        return RecoveredState.KEPT
    for row in later:
        replace_state(session, job_id=row.job_id, state=state)
    return RecoveredState.STORED


def _is_settled(build: Row[Any], claim: int, state: State) -> bool:
    if build.completed_at is None or build.claims != claim:
        return True  # another attempt runs or ran the job, so this one had not reached apply
    return bool(build.state_lineage == state.lineage and build.state_serial >= state.serial)


def _is_superseded(build: Row[Any], later: Sequence[Row[Any]]) -> bool:
    return build.is_pushed or any(row.has_started or row.is_pushed for row in later)
