"""Events: the ends of jobs and the changes of workspaces; and webhooks, which send them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.tables.base import Base, BigIntPk, CreatedAt, UserFk, UuidPk

EMPTY = text("'{}'")
# Its type is not known to SQLAlchemy; as a number it is ordered in the same way.
TRANSACTION = text("(pg_current_xact_id()::text)::bigint")


class Event(Base):
    """Something that happened, recorded in the transaction in which it happened.

    Events are read in the order of ``(transaction_id, id)``, and only those of transactions
    before the oldest one that is in progress. So a transaction that commits late is never skipped.
    """

    __tablename__ = "events"

    id: Mapped[BigIntPk]
    transaction_id: Mapped[int] = mapped_column(BigInteger, server_default=TRANSACTION)
    time: Mapped[CreatedAt]
    type: Mapped[str] = mapped_column(String(64))
    organization_id: Mapped[uuid.UUID]
    workspace_id: Mapped[uuid.UUID | None]
    owner_id: Mapped[uuid.UUID | None]
    data: Mapped[dict[str, Any]]

    __table_args__ = (Index("ix_events_transaction_id_id", "transaction_id", "id"),)


class Webhook(Base):
    """An address that events are sent to."""

    __tablename__ = "webhooks"

    id: Mapped[UuidPk]
    created_at: Mapped[CreatedAt]
    created_by: Mapped[UserFk] = mapped_column(index=True)
    organization_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )  #: NULL: events of all organizations
    url: Mapped[str] = mapped_column(String(2048))
    secret: Mapped[str]  #: the key of the signature, as base64
    types: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=EMPTY)  #: empty: all
    # The last event that was put into deliveries.
    seen_transaction_id: Mapped[int] = mapped_column(BigInteger, server_default=TRANSACTION)
    seen_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class WebhookDelivery(Base):
    """An event that is sent to a webhook until it is accepted, or parked after many attempts."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[BigIntPk]
    webhook_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(BigInteger)
    # Deliveries with the same subject are sent in order: a workspace, or else a job.
    subject: Mapped[uuid.UUID]
    body: Mapped[str]
    created_at: Mapped[CreatedAt]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_at: Mapped[CreatedAt]
    delivered_at: Mapped[datetime | None]
    parked_at: Mapped[datetime | None]
    status: Mapped[int | None]  #: of the last answer; NULL: there was none
    error: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        Index(
            "ix_webhook_deliveries_waiting",
            "next_at",
            postgresql_where="delivered_at IS NULL AND parked_at IS NULL",
        ),
        Index("ix_webhook_deliveries_webhook_id_subject_id", "webhook_id", "subject", "id"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
    )
