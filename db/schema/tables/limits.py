"""Limits that the operator has changed."""

from __future__ import annotations

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.tables.base import Base, UpdatedAt


class LimitRow(Base):
    """A limit that is not at its default (``db.catalog.limits``)."""

    __tablename__ = "limits"

    name: Mapped[str] = mapped_column(primary_key=True)
    allowed: Mapped[int | None]  #: NULL: any number
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (CheckConstraint("allowed >= 0", name="allowed_not_negative"),)
