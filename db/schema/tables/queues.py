"""Queues that an operator has paused. All other queues have no row."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from db.schema.tables.base import Base, CreatedAt


class QueuePause(Base):
    """The last pause of a queue. No worker claims its jobs until it is resumed."""

    __tablename__ = "queue_pauses"

    queue: Mapped[str] = mapped_column(primary_key=True)
    paused_by: Mapped[str]  #: the user for the audit log
    reason: Mapped[str] = mapped_column(server_default="")
    paused_at: Mapped[CreatedAt]
    resumed_at: Mapped[datetime | None]  #: NULL: it is paused
