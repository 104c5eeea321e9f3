"""Circuits of template versions whose starts fail. All other versions have no row."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.tables.base import Base, CreatedAt


class Circuit(Base):
    """The failures in a row of a version's starts for one reason (``db.jobs.circuits``)."""

    __tablename__ = "circuits"

    template_version_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("template_versions.id", ondelete="CASCADE"), primary_key=True
    )
    reason: Mapped[str] = mapped_column(primary_key=True)  #: error code, or what failed and where
    failures: Mapped[int] = mapped_column(server_default=text("1"))
    openings: Mapped[int] = mapped_column(server_default=text("0"))  #: since the last success
    opened_at: Mapped[datetime | None]  #: NULL: it has not been open since the last success
    open_until: Mapped[datetime | None]  #: then one start is let through
    #: the workspace whose start was let through
    trial_workspace_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("workspaces.id", ondelete="SET NULL")
    )
    last_job_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("provisioner_jobs.id", ondelete="SET NULL"), index=True
    )
    last_failed_at: Mapped[CreatedAt]

    __table_args__ = (
        CheckConstraint("failures > 0", name="failures_positive"),
        CheckConstraint(
            "(openings = 0) = (opened_at IS NULL) AND (openings = 0) = (open_until IS NULL)",
            name="opened_at_all",
        ),
        CheckConstraint(
            "trial_workspace_id IS NULL OR open_until IS NOT NULL", name="trial_of_opened"
        ),
    )
