"""Webhooks: creating, listing and deleting them. Their secrets are shown only once."""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import InvalidError, NotFoundError
from db.jobs.events import EventType
from db.schema.tables import Webhook
from db.sealing.places import webhook_secret_of
from db.sealing.values import seal_text
from db.texts import storable

SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105 - what the scheme begins secrets with
URL_LIMIT = 2048


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
