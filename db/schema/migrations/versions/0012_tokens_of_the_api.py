"""Tokens of users for the HTTP API.

How it is deployed: at any time, with old and new workers running. It creates a type and a table
that the code before it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None

SCOPE = ENUM("read", "build", "operate", "admin", name="token_scope", create_type=False)


def upgrade() -> None:
    op.execute("CREATE TYPE token_scope AS ENUM ('read', 'build', 'operate', 'admin')")
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(10), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("parent_id", sa.String(10), nullable=True),
        sa.Column("name", sa.String(64), server_default="", nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("scope", SCOPE, nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(id) = 10", name=op.f("ck_api_tokens_id_length")),
        sa.CheckConstraint(
            "octet_length(secret_sha256) = 32", name=op.f("ck_api_tokens_secret_is_a_digest")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_api_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["api_tokens.id"],
            name=op.f("fk_api_tokens_parent_id_api_tokens"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
    )
    op.create_index(op.f("ix_api_tokens_user_id"), "api_tokens", ["user_id"])
    op.create_index(op.f("ix_api_tokens_parent_id"), "api_tokens", ["parent_id"])


def downgrade() -> None:
    op.drop_table("api_tokens")
    op.execute("DROP TYPE token_scope")
