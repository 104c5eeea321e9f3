"""The states of workspaces, sealed for the build that stores them."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from db.engine import sql
from db.sealing.compression import compress
from db.sealing.keyring import keyring_of
from db.sealing.places import state_of
from db.sealing.values import open_bytes, seal_bytes

# Uses: uq_workspace_builds_job_id.
_OWNER = sql("""
    SELECT build.id, build.workspace_id, job.attempt
    FROM workspace_builds AS build
    JOIN provisioner_jobs AS job ON job.id = build.job_id
    WHERE build.job_id = :job_id
""")


def seal_state(
    session: Session, data: bytes, *, workspace_id: uuid.UUID, build_id: uuid.UUID
) -> bytes:
    """Return what to store for a state that a person gives to a build."""
    return seal_bytes(session, data, state_of(workspace_id), row=build_id)


def seal_state_of_job(session: Session, data: bytes, job_id: uuid.UUID) -> bytes:
    """Return what to store for a state that a job leaves."""
    if keyring_of(session).first is None:
        return compress(data)
    build = session.execute(_OWNER, {"job_id": job_id}).one_or_none()
    if build is None:
        return data  # it is not the job of a build, so the state is not stored
    place = state_of(build.workspace_id)
    return seal_bytes(session, data, place, row=build.id, attempt=build.attempt)


def open_state(
    session: Session,
    stored: bytes | None,
    *,
    workspace_id: uuid.UUID,
    build_id: uuid.UUID,
    is_own: bool,
) -> bytes | None:
    """Return a state as it was before it was sealed or compressed.

    Args:
        is_own: whether the build has stored a state since it was made. Until then it has a copy
            of the state of an earlier build.

    Raises:
        SealedError: it does not open.
    """
    if stored is None:
        return None
    return open_bytes(session, stored, state_of(workspace_id), row=build_id if is_own else None)
