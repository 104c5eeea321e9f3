"""The audit log."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.listings import LIMIT, read_listings
from db.reads.shapes import AuditLog
from db.reads.sight import EVERYTHING, Sight, seen

COUNTED = 10_000  #: changes beyond this number are listed, but not counted

_WANTED = """
    FROM audit_logs AS change
    WHERE (CAST(:organizations AS uuid[]) IS NULL
           OR change.organization_id = ANY(:organizations))
      AND (CAST(:username AS text) IS NULL OR lower(change.username) = lower(:username))
      AND (CAST(:action AS text) IS NULL OR change.action = :action)
      AND (CAST(:resource_type AS text) IS NULL OR change.resource_type = :resource_type)
      AND (CAST(:resource_id AS uuid) IS NULL OR change.resource_id = :resource_id)
"""
_CHANGES = sql(f"""
    SELECT change.id, change.time, change.username, change.user_id, change.organization_id,
           change.action, change.resource_type, change.resource_id, change.resource_target,
           change.diff, change.additional_fields
    {_WANTED}
    ORDER BY change.time DESC, change.id
    LIMIT :limit OFFSET :offset
""")
_NUMBER_OF_CHANGES = sql(f"SELECT count(*) FROM (SELECT 1 {_WANTED} LIMIT :limit) AS counted")  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class AuditListing:
    """A change that a person made."""

    id: uuid.UUID
    time: datetime
    username: str
    user_id: uuid.UUID | None  #: None: a user of the operating system
    organization: str | None  #: None: it does not exist any more
    action: str
    resource_type: str
    resource_id: uuid.UUID
    resource_target: str  #: its name for people, such as alice/box
    diff: dict[str, Any]  #: field: {old, new}
    additional_fields: dict[str, Any]


def list_audit_logs(
    session: Session,
    *,
    username: str | None = None,
    action: str | None = None,
    target: str | None = None,
    within: timedelta | None = None,
    sight: Sight = EVERYTHING,
    limit: int = LIMIT,
) -> list[AuditListing]:
    """Return the newest changes that match all that is given, the last one first.

    Walks ix_audit_logs_time_id from its end, so a filter that matches few reads them all.

    Args:
        target: the name of what was changed, such as alice/box.
        within: only those that are not older.
    """
    return read_listings(
        session,
        AuditListing,
        f"""
        SELECT change.id, change.time, change.username, change.user_id,
               organization.name AS organization,
               change.action, change.resource_type, change.resource_id, change.resource_target,
               change.diff, change.additional_fields
        FROM audit_logs AS change
        LEFT JOIN organizations AS organization ON organization.id = change.organization_id
        WHERE (CAST(:username AS varchar) IS NULL OR change.username = :username)
          AND (CAST(:action AS varchar) IS NULL OR change.action = :action)
          AND (CAST(:target AS varchar) IS NULL OR change.resource_target = :target)
          AND (CAST(:within AS interval) IS NULL OR change.time > now() - :within)
          AND {seen("change.organization_id")}
        ORDER BY change.time DESC, change.id DESC
        LIMIT :limit
        """,  # noqa: S608 - made of constants
        username=username,
        action=action,
        target=target,
        within=within,
        limit=limit,
        **sight.values,
    )


def find_audit_logs(
    session: Session,
    *,
    organizations: Collection[uuid.UUID] | None,
    username: str | None = None,
    action: str | None = None,
    resource_type: str | None = None,
    resource_id: uuid.UUID | None = None,
    limit: int = LIMIT,
    offset: int = 0,
) -> tuple[list[AuditLog], int]:
    """Return a page of the changes, the last one first, and their number on all pages.

    The number is at most ``COUNTED``: counting all would read the whole log for each page.

    Args:
        organizations: only changes in these; None for all, also those of the whole site.
    """
    wanted = {
        "organizations": None if organizations is None else list(organizations),
        "username": username,
        "action": action,
        "resource_type": resource_type,
        "resource_id": resource_id,
    }
    rows = session.execute(_CHANGES, {**wanted, "limit": limit, "offset": offset})
    count = session.execute(_NUMBER_OF_CHANGES, {**wanted, "limit": COUNTED}).scalar_one()
    return [AuditLog(**row._asdict()) for row in rows], count
