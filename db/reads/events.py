"""Events, in an order in which no reader misses one."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import InvalidError
from db.reads.contract import UtcTime
from db.reads.contractbase import ContractModel

PAGE = 500
_CURSOR = re.compile(r"(\d{1,20})\.(\d{1,19})")
MAX_TRANSACTION = 2**63 - 1
MAX_ID = 2**63 - 1

# Uses: ix_events_transaction_id_id. An event of a transaction that is not before the oldest one in
# progress has to wait: a transaction with a lower id may still commit events.
_EVENTS = sql("""
    SELECT event.transaction_id, event.id, event.time, event.type,
           event.organization_id, event.data
    FROM events AS event
    WHERE (event.transaction_id, event.id) > (:transaction_id, :id)
      AND event.transaction_id < CAST(pg_snapshot_xmin(pg_current_snapshot())::text AS bigint)
      AND (CAST(:organizations AS uuid[]) IS NULL
           OR event.organization_id = ANY(:organizations)
           OR event.owner_id = :seen_by)
      AND (cardinality(CAST(:types AS text[])) = 0 OR event.type = ANY(:types))
    ORDER BY event.transaction_id, event.id
    LIMIT :limit
""")
_LATEST = sql("""
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS transaction_id
""")


@dataclass(frozen=True, order=True)
class EventCursor:
    """A position in the order of events."""

    transaction_id: int
    id: int

    def __str__(self) -> str:
        return f"{self.transaction_id}.{self.id}"

    @classmethod
    def parse(cls, given: str) -> EventCursor:
        """Return the cursor that ``str`` returned this text for.

        Raises:
            InvalidError: the text is not a cursor.
        """
        found = _CURSOR.fullmatch(given)
        if found is None or not given.isascii():
            raise InvalidError(f"{given!r} is not the id of an event")
        cursor = cls(int(found[1]), int(found[2]))
        if cursor.transaction_id > MAX_TRANSACTION or cursor.id > MAX_ID:
            raise InvalidError(f"{given!r} is not the id of an event")
        return cursor


FIRST = EventCursor(0, 0)


class Event(ContractModel):
    """Something that happened."""

    id: str = Field(description="its position: pass it as `after` or `Last-Event-ID` to go on")
    time: UtcTime
    type: str = Field(description="such as job.failed or workspace.created")
    organization_id: uuid.UUID
    data: dict[str, Any] = Field(description="ids and names of what it is about")


def read_events(
    session: Session,
    *,
    after: EventCursor,
    organizations: Collection[uuid.UUID] | None,
    seen_by: uuid.UUID | None = None,
    types: Sequence[str] = (),
    limit: int = PAGE,
) -> list[Event]:
    """Return the next events.

    Args:
        organizations: only events of these; None for all.
        seen_by: a user whose own workspaces' events are returned, too.
        types: only events of these types; empty for all.
    """
    rows = session.execute(
        _EVENTS,
        {
            "transaction_id": after.transaction_id,
            "id": after.id,
            "organizations": None if organizations is None else list(organizations),
            "seen_by": seen_by,
            "types": list(types),
            "limit": limit,
        },
    )
    return [
        Event(
            id=f"{row.transaction_id}.{row.id}",
            time=row.time,
            type=row.type,
            organization_id=row.organization_id,
            data=row.data,
        )
        for row in rows
    ]


def latest_position(session: Session) -> EventCursor:
    """Return the position after all events that were committed before now."""
    row = session.execute(_LATEST).one()
    return EventCursor(int(row.transaction_id) - 1, MAX_ID)
