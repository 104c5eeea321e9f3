"""Stored archives of templates."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import NotFoundError


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """Who uploaded an archive, and whose templates use it."""

    created_by: uuid.UUID
    organizations: Sequence[uuid.UUID]


def find_file(session: Session, file_id: uuid.UUID) -> StoredFile:
    """Return facts about one archive; ``db.jobs.archives.read_file`` returns its content.

    Raises:
        NotFoundError: there is none.
    """
    row = session.execute(
        sql("""
            SELECT file.created_by,
                   ARRAY(
                       SELECT DISTINCT version.organization_id
                       FROM provisioner_jobs AS job
                       JOIN template_versions AS version ON version.job_id = job.id
                       WHERE job.file_id = file.id
                   ) AS organizations
            FROM files AS file
            WHERE file.id = :id
        """),
        {"id": file_id},
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no file {file_id}")
    return StoredFile(created_by=row.created_by, organizations=row.organizations)


def holds_file(session: Session, data: bytes, *, user_id: uuid.UUID) -> bool:
    """Return whether the user has stored the same content before."""
    digest = hashlib.sha256(data).hexdigest()
    found = session.execute(
        sql("SELECT 1 FROM files WHERE hash = :hash AND created_by = :user_id"),
        {"hash": digest, "user_id": user_id},
    )
    return found.first() is not None


def may_use_file(session: Session, file_id: uuid.UUID, *, user_id: uuid.UUID) -> bool:
    """Return whether there is such a file and the user uploaded it, or can see a version of it."""
    found = session.execute(
        sql("""
            SELECT 1
            FROM files AS file
            WHERE file.id = :id
              AND (file.created_by = :user_id OR EXISTS (
                  SELECT 1
                  FROM provisioner_jobs AS job
                  JOIN template_versions AS version ON version.job_id = job.id
                  JOIN organization_members AS member
                    ON member.organization_id = version.organization_id
                   AND member.user_id = :user_id
                  WHERE job.file_id = file.id
              ))
        """),
        {"id": file_id, "user_id": user_id},
    )
    return found.first() is not None
