"""Webhooks and their deliveries: creating them, taking what is due, and recording the answer.

A delivery that is taken is put off by ``TAKEN_FOR`` in the same statement, so no other process
takes it while it is sent, and one whose process died is taken again later.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import InvalidError, NotFoundError, SealedError
from db.jobs.events import EventType
from db.schema.tables import Webhook
from db.sealing.places import webhook_secret_of
from db.sealing.values import open_text, seal_text
from db.texts import storable

SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105 - what the scheme begins secrets with
URL_LIMIT = 2048
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


def oldest_delivery_s(session: Session) -> float:
    """Return how many seconds ago the oldest delivery that still waits was made; 0: none waits."""
    return float(session.execute(OLDEST).scalar_one())


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


@dataclass(frozen=True, kw_only=True)
class NewWebhook:
    """A webhook that was just made, with its secret."""

    id: uuid.UUID
    secret: str


@dataclass(frozen=True, kw_only=True)
class WebhookListing:
    """A webhook, without its secret, and how it fares."""

    id: uuid.UUID
    url: str
    organization_id: uuid.UUID | None
    types: Sequence[str]
    created_at: datetime
    waiting: int
    parked: int
    last_delivered_at: datetime | None
    last_error: str


def create_webhook(
    session: Session,
    *,
    url: str,
    created_by: uuid.UUID,
    organization_id: uuid.UUID | None = None,
    types: Collection[str] = (),
) -> NewWebhook:
    """Create a webhook; it gets the events from now on. Its secret is shown only once.

    Raises:
        InvalidError: the URL or a type is not allowed.
    """
    if not url.startswith(("https://", "http://")) or len(url) > URL_LIMIT or storable(url) != url:
        raise InvalidError("a webhook needs a URL that begins with https:// or http://")
    if unknown := set(types) - set(EventType):
        raise InvalidError(f"there are no events of the type {min(unknown)!r}")
    secret = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    made = NewWebhook(id=uuid.uuid4(), secret=f"{SECRET_PREFIX}{secret}")
    session.add(
        Webhook(
            id=made.id,
            url=url,
            created_by=created_by,
            organization_id=organization_id,
            types=sorted(set(types)),
            secret=seal_text(session, made.secret, webhook_secret_of(made.id), row=made.id),
        )
    )
    session.flush()
    return made


def delete_webhook(session: Session, webhook_id: uuid.UUID) -> None:
    """Delete a webhook with its deliveries.

    Raises:
        NotFoundError: there is none.
    """
    deleted = session.execute(
        sql("DELETE FROM webhooks WHERE id = :id RETURNING 1"), {"id": webhook_id}
    ).first()
    if deleted is None:
        raise NotFoundError(f"there is no webhook {webhook_id}")


def send_test(session: Session, webhook_id: uuid.UUID) -> None:
    """Enqueue an event of the type ``webhook.test`` for one webhook.

    Raises:
        NotFoundError: there is none.
    """
    made = session.execute(
        sql("""
            INSERT INTO webhook_deliveries (webhook_id, event_id, subject, body)
            SELECT id, 0, id,
                   jsonb_build_object('type', CAST(:type AS text), 'timestamp', now(),
                                      'data', jsonb_build_object('webhook_id', id))::text
            FROM webhooks
            WHERE id = :id
            RETURNING 1
        """),
        {"id": webhook_id, "type": EventType.WEBHOOK_TEST},
    ).first()
    if made is None:
        raise NotFoundError(f"there is no webhook {webhook_id}")


def replay_webhook(session: Session, webhook_id: uuid.UUID) -> int:
    """Let the parked deliveries of a webhook be sent again; return their number."""
    rows = session.execute(
        sql("""
            UPDATE webhook_deliveries
            SET parked_at = NULL, attempts = 0, next_at = now()
            WHERE webhook_id = :id AND parked_at IS NOT NULL
            RETURNING 1
        """),
        {"id": webhook_id},
    )
    return len(rows.all())


def list_webhooks(
    session: Session, *, organizations: Collection[uuid.UUID] | None = None
) -> list[WebhookListing]:
    """Return the webhooks of these organizations, or all."""
    rows = session.execute(
        sql("""
            SELECT hook.id, hook.url, hook.organization_id, hook.types, hook.created_at,
                   count(delivery.id) FILTER (WHERE delivery.delivered_at IS NULL
                                              AND delivery.parked_at IS NULL) AS waiting,
                   count(delivery.parked_at) AS parked,
                   max(delivery.delivered_at) AS last_delivered_at,
                   coalesce((
                       SELECT failed.error
                       FROM webhook_deliveries AS failed
                       WHERE failed.webhook_id = hook.id AND failed.error <> ''
                       ORDER BY failed.id DESC
                       LIMIT 1
                   ), '') AS last_error
            FROM webhooks AS hook
            LEFT JOIN webhook_deliveries AS delivery ON delivery.webhook_id = hook.id
            WHERE CAST(:organizations AS uuid[]) IS NULL
               OR hook.organization_id = ANY(:organizations)
            GROUP BY hook.id
            ORDER BY hook.created_at, hook.id
        """),
        {"organizations": None if organizations is None else list(organizations)},
    )
    return [WebhookListing(**row._asdict()) for row in rows]


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
