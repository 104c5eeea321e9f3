"""Workspaces that will be stopped automatically. All others have no row."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.tables.base import Base


class Autostop(Base):
    """When a workspace will be stopped by the sweeper of a worker."""

    __tablename__ = "autostops"

    workspace_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True
    )
    due_at: Mapped[datetime] = mapped_column(index=True)
    #: a stop failed at that time, and is tried once more
    is_retry: Mapped[bool] = mapped_column(server_default=text("false"))
