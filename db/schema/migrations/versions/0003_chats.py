"""Chats, for the tools of agents (``db.catalog.chats``).

How it is deployed: at any time, with old and new workers running. It creates a table that the
code before it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chats",
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=True),
        sa.Column("build_id", sa.UUID(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id <> ''", name=op.f("ck_chats_id_not_empty")),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_chats_owner_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_chats_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_chats_workspace_id_workspaces"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["build_id"],
            ["workspace_builds.id"],
            name=op.f("fk_chats_build_id_workspace_builds"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("owner_id", "id", name=op.f("pk_chats")),
        sa.UniqueConstraint("workspace_id", name=op.f("uq_chats_workspace_id")),
    )
    op.create_index(op.f("ix_chats_build_id"), "chats", ["build_id"])


def downgrade() -> None:
    op.drop_table("chats")
