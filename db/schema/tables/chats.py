"""Chats: conversations of agents, and the workspace of each."""

from __future__ import annotations

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.tables.base import Base, CreatedAt, OrganizationFk, UpdatedAt, UserFk


class Chat(Base):
    """A conversation, identified by its owner and the id from the agent's platform.

    Tool calls for the same chat take turns by a lock on this row, even in different processes.
    """

    __tablename__ = "chats"

    owner_id: Mapped[UserFk] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    organization_id: Mapped[OrganizationFk]
    workspace_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("workspaces.id", ondelete="SET NULL")
    )
    build_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("workspace_builds.id", ondelete="SET NULL"), index=True
    )
    """The build that the chat's tools last waited for."""
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (
        UniqueConstraint("workspace_id"),
        CheckConstraint("id <> ''", name="id_not_empty"),
    )
