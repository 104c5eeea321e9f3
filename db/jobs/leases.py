"""Leases: the right of one attempt to write on its job until a point in time.

All times come from the database, so a wrong clock on a worker neither shortens nor extends a lease.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import LeaseLostError


@dataclass(frozen=True)
class Lease:
    """A job and the token that every write of the current attempt carries."""

    job_id: uuid.UUID
    token: uuid.UUID  #: fencing token; each attempt has a new one

    @property
    def parameters(self) -> Mapping[str, uuid.UUID]:
        """The lease as the statement parameters ``:job_id`` and ``:lease_token``."""
        return {"job_id": self.job_id, "lease_token": self.token}


@dataclass(frozen=True, kw_only=True)
class RenewedLease:
    """A lease that is still held, and whether a cancel of its job was requested."""

    token: uuid.UUID
    cancel_requested: bool


def held_row(session: Session, lease: Lease, statement: TextClause, **values: object) -> Row[Any]:
    """Run a statement on the job of the lease, and return its row.

    Args:
        statement: finds a row only if ``:job_id`` is held with ``:lease_token``.
        values: its other parameters.

    Raises:
        LeaseLostError: there is no row, so the lease is no longer the job's.
    """
    row = session.execute(statement, {**lease.parameters, **values}).one_or_none()
    if row is None:
        raise LeaseLostError(lease.job_id)
    return row


def renew_leases(
    session: Session, *, tokens: Sequence[uuid.UUID], lease: timedelta
) -> list[RenewedLease]:
    """Extend the leases with these tokens. A lease that is not returned is lost.

    A lease is never shortened, also if a renewal that began earlier is committed later.
    """
    rows = session.execute(
        sql("""
            UPDATE leases
            SET expires_at = greatest(leases.expires_at, now() + :lease)
            FROM provisioner_jobs AS job
            WHERE leases.token = ANY(:tokens) AND job.id = leases.job_id
            RETURNING leases.token, job.canceled_at IS NOT NULL AS cancel_requested
        """),
        {"tokens": list(tokens), "lease": lease},
    ).all()
    return [RenewedLease(**row._asdict()) for row in rows]
