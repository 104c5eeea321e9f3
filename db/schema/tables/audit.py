"""The audit log."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.tables.base import Base, CreatedAt, UuidPk

EMPTY = text("'{}'::jsonb")


class AuditLog(Base):
    """A change that a person made. It has no foreign keys, since it outlives the rows it names."""

    __tablename__ = "audit_logs"

    id: Mapped[UuidPk]
    time: Mapped[CreatedAt]
    user_id: Mapped[uuid.UUID | None]  #: NULL: a user of the operating system, not of the platform
    username: Mapped[str]
    organization_id: Mapped[uuid.UUID]
    resource_type: Mapped[str]
    resource_id: Mapped[uuid.UUID]
    resource_target: Mapped[str]  #: its name for people, such as alice/box
    action: Mapped[str]
    diff: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)  #: field: {old, new}
    additional_fields: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)

    __table_args__ = (
        Index("ix_audit_logs_resource_id_time", "resource_id", "time"),
        Index("ix_audit_logs_time_id", "time", "id"),
    )
