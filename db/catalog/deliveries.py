"""Deliveries of events to webhooks: making them, taking what is due, recording the answer.

A delivery that is taken is put off by ``TAKEN_FOR`` in the same statement, so no other process
takes it while it is sent, and one whose process died is taken again later.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import SealedError
from db.sealing.places import webhook_secret_of
from db.sealing.values import open_text
from db.texts import storable

ERROR_LIMIT = 500
TAKEN_FOR = timedelta(minutes=2)  #: longer than one attempt may take
ATTEMPTS = 10
PAUSES_S = (5, 30, 120, 600, 1800, 3600, 10_800, 21_600, 43_200)
"""The pauses after the first failures, in seconds: about a day and a half together."""

FAN_OUT = sql("""
    WITH next AS (
        SELECT hook.id AS webhook_id, hook.organization_id AS wanted, hook.types, event.*
        FROM webhooks AS hook
        CROSS JOIN LATERAL (
            SELECT *
            FROM events
            WHERE (events.transaction_id, events.id) > (hook.seen_transaction_id, hook.seen_id)
              AND events.transaction_id
                  < CAST(pg_snapshot_xmin(pg_current_snapshot())::text AS bigint)
            ORDER BY events.transaction_id, events.id
            LIMIT 500
        ) AS event
    ), made AS (
        INSERT INTO webhook_deliveries (webhook_id, event_id, subject, body)
        SELECT webhook_id, id,
               coalesce(workspace_id, CAST(data ->> 'job_id' AS uuid), organization_id),
               jsonb_build_object('type', type, 'timestamp', time, 'data',
                                  data || jsonb_build_object('organization_id', organization_id)
               )::text
        FROM next
        WHERE (wanted IS NULL OR wanted = organization_id)
          AND (cardinality(types) = 0 OR type = ANY(types))
        ORDER BY transaction_id, id
        RETURNING 1
    ), last AS (
        SELECT DISTINCT ON (webhook_id) webhook_id, transaction_id, id
        FROM next
        ORDER BY webhook_id, transaction_id DESC, id DESC
    ), moved AS (
        UPDATE webhooks
        SET seen_transaction_id = last.transaction_id, seen_id = last.id
        FROM last
        WHERE webhooks.id = last.webhook_id
    )
    SELECT count(*) FROM made
""")
# Only the first delivery of each subject that is neither delivered nor parked.
TAKE = sql("""
    UPDATE webhook_deliveries AS delivery
    SET attempts = attempts + 1, next_at = now() + :taken_for
    FROM (
        SELECT waiting.id
        FROM webhook_deliveries AS waiting
        WHERE waiting.delivered_at IS NULL AND waiting.parked_at IS NULL
          AND waiting.next_at <= now()
          AND NOT EXISTS (
              SELECT 1
              FROM webhook_deliveries AS earlier
              WHERE earlier.webhook_id = waiting.webhook_id
                AND earlier.subject = waiting.subject
                AND earlier.id < waiting.id
                AND earlier.delivered_at IS NULL AND earlier.parked_at IS NULL
          )
        ORDER BY waiting.next_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS due, webhooks AS hook
    WHERE delivery.id = due.id AND hook.id = delivery.webhook_id
    RETURNING delivery.id, delivery.webhook_id, delivery.body, delivery.attempts, hook.url,
              hook.secret
""")
# Uses: ix_webhook_deliveries_waiting.
OLDEST = sql("""
    SELECT coalesce(extract(epoch FROM now() - min(created_at))::float, 0)
    FROM webhook_deliveries
    WHERE delivered_at IS NULL AND parked_at IS NULL
""")
LOCK = 7_203_482_613


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A delivery that was taken, to be sent now."""

    id: int
    webhook_id: uuid.UUID
    url: str
    secret: str | None  #: None: it does not open
    body: str
    attempts: int  #: with this one
    problem: str = ""  #: why the secret does not open


def oldest_delivery_s(session: Session) -> float:
    """Return how many seconds ago the oldest delivery that still waits was made; 0: none waits."""
    return float(session.execute(OLDEST).scalar_one())


def fan_out(session: Session) -> int:
    """Make a delivery of each new event for each webhook that wants it; return their number.

    One process at a time does so; the others make none.
    """
    locked = session.execute(sql("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK})
    if not locked.scalar_one():
        return 0
    count: int = session.execute(FAN_OUT).scalar_one()
    return count


def take_deliveries(session: Session, *, limit: int) -> list[Delivery]:
    """Take deliveries that are due, at most one of each webhook and subject."""
    rows = session.execute(TAKE, {"taken_for": TAKEN_FOR, "limit": limit})
    return [_delivery(session, row) for row in rows]


def _delivery(session: Session, row: Row[Any]) -> Delivery:
    taken = Delivery(**row._asdict())
    try:
        secret = open_text(session, row.secret, webhook_secret_of(row.webhook_id))
    except SealedError as error:
        return replace(taken, secret=None, problem=str(error))
    return replace(taken, secret=secret)


def record_delivered(session: Session, delivery: Delivery, *, status: int) -> None:
    """Record that the receiver has accepted a delivery."""
    session.execute(
        sql("""
            UPDATE webhook_deliveries
            SET delivered_at = now(), status = :status, error = ''
            WHERE id = :id
        """),
        {"id": delivery.id, "status": status},
    )


def record_failure(session: Session, delivery: Delivery, *, status: int | None, error: str) -> None:
    """Record that a delivery was not accepted: it is sent again later, or parked."""
    is_last = delivery.attempts >= ATTEMPTS
    pause_s = PAUSES_S[min(delivery.attempts, len(PAUSES_S)) - 1]
    session.execute(
        sql("""
            UPDATE webhook_deliveries
            SET status = :status, error = :error, next_at = now() + :pause,
                parked_at = CASE WHEN :is_last THEN now() END
            WHERE id = :id
        """),
        {
            "id": delivery.id,
            "status": status,
            "error": storable(error)[:ERROR_LIMIT],
            "pause": timedelta(seconds=pause_s),
            "is_last": is_last,
        },
    )


def prune_deliveries(session: Session, *, older_than: timedelta) -> int:
    """Delete deliveries that were accepted, and events, that are older; return their number."""
    delivered = session.execute(
        sql("DELETE FROM webhook_deliveries WHERE delivered_at < now() - :age RETURNING 1"),
        {"age": older_than},
    ).all()
    events = session.execute(
        sql("DELETE FROM events WHERE time < now() - :age RETURNING 1"), {"age": older_than}
    ).all()
    return len(delivered) + len(events)
