"""Tokens of users for the HTTP API."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.enums import TokenScope
from db.schema.tables.base import Base, CreatedAt, UserFk

TOKEN_ID_LENGTH = 10


class ApiToken(Base):
    """A token of a user. Only a digest of its secret is stored.

    A session key is a token that was made by another one (``coder login``). It ends with that one.
    """

    __tablename__ = "api_tokens"

    # The first part of the token's text. It may be shown and logged.
    id: Mapped[str] = mapped_column(String(TOKEN_ID_LENGTH), primary_key=True)
    user_id: Mapped[UserFk] = mapped_column(index=True)
    parent_id: Mapped[str | None] = mapped_column(
        ForeignKey("api_tokens.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(64), server_default="")
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    scope: Mapped[TokenScope]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(f"length(id) = {TOKEN_ID_LENGTH}", name="id_length"),
        CheckConstraint(text("octet_length(secret_sha256) = 32"), name="secret_is_a_digest"),
    )
