"""Circuits: which template versions keep failing, and why."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.reads.listings import LIMIT, read_listings
from db.reads.sight import EVERYTHING, Sight, seen


@dataclass(frozen=True, kw_only=True)
class CircuitListing:
    """The failures in a row of a template version's starts for one reason."""

    template: str
    version: str
    organization: str
    template_version_id: uuid.UUID
    reason: str  #: the error code, or the failure reason and the stage
    state: str  #: closed; open: starts are refused; half-open: one is let through
    failures: int
    open_until: datetime | None  #: None: it has not been open since the last success
    last_failed_at: datetime
    last_job_id: uuid.UUID | None


def list_circuits(
    session: Session,
    *,
    limit: int = LIMIT,
    version_id: uuid.UUID | None = None,
    is_opened: bool = False,
    sight: Sight = EVERYTHING,
) -> list[CircuitListing]:
    """Return circuits, those with the last failure first.

    Args:
        version_id: only those of this version.
        is_opened: only those that are open or half-open.
    """
    return read_listings(
        session,
        CircuitListing,
        f"""
        SELECT template.name AS template, version.name AS version,
               organization.name AS organization, circuit.template_version_id, circuit.reason,
               CASE WHEN circuit.open_until IS NULL THEN 'closed'
                    WHEN circuit.open_until > now() THEN 'open'
                    ELSE 'half-open' END AS state,
               circuit.failures, circuit.open_until, circuit.last_failed_at, circuit.last_job_id
        FROM circuits AS circuit
        JOIN template_versions AS version ON version.id = circuit.template_version_id
        JOIN organizations AS organization ON organization.id = version.organization_id
        JOIN templates AS template ON template.id = version.template_id
        WHERE (CAST(:version_id AS uuid) IS NULL OR circuit.template_version_id = :version_id)
          AND (NOT :is_opened OR circuit.open_until IS NOT NULL)
          AND {seen("version.organization_id")}
        ORDER BY circuit.last_failed_at DESC, circuit.reason
        LIMIT :limit
        """,  # noqa: S608 - made of constants
        version_id=version_id,
        is_opened=is_opened,
        limit=limit,
        **sight.values,
    )
