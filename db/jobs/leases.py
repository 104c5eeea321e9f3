"""Leases: until when a worker may write on a job, and by which token.

A lease is a row that says until when. All times are the database's, so that a worker with a
wrong clock neither loses nor keeps anything by it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from db.engine import sql


@dataclass(frozen=True)
class Lease:
    """What a worker names in every write on a job that it runs."""

    job_id: uuid.UUID
    token: uuid.UUID  #: fencing token, a new one for each attempt

    @property
    def parameters(self) -> Mapping[str, uuid.UUID]:
        """The lease as the parameters ``:job_id`` and ``:lease_token`` of a statement."""
        return {"job_id": self.job_id, "lease_token": self.token}


@dataclass(frozen=True, kw_only=True)
class RenewedLease:
    """A lease that is still held, and whether somebody asked for the job's end."""

    token: uuid.UUID
    cancel_requested: bool


def renew_leases(
    session: Session, *, tokens: Sequence[uuid.UUID], lease: timedelta
) -> list[RenewedLease]:
    """Extend the leases named by ``tokens``; those that are not returned are lost."""
    rows = session.execute(
        sql("""
            UPDATE leases
            SET expires_at = now() + :lease
            FROM provisioner_jobs AS job
            WHERE leases.token = ANY(:tokens) AND job.id = leases.job_id
            RETURNING leases.token, job.canceled_at IS NOT NULL AS cancel_requested
        """),
        {"tokens": list(tokens), "lease": lease},
    ).all()
    return [RenewedLease(**row._asdict()) for row in rows]
