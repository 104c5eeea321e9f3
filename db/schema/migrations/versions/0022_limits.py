"""Limits on builds and workspaces, and which chat has made a workspace.

How it is deployed: at any time, with old and new workers running. It creates a table that the code
before it does not know. The column has no default, so PostgreSQL only changes its catalog;
workspaces that were made before count for no chat. Services that have rights of their own need
`provisionerd grants` again before they enqueue with new code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "limits",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("allowed", sa.Integer(), nullable=True),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_limits")),
        sa.CheckConstraint("allowed >= 0", name=op.f("ck_limits_allowed_not_negative")),
    )
    op.add_column("workspaces", sa.Column("chat_id", sa.String(length=200), nullable=True))


def downgrade() -> None:
    op.drop_column("workspaces", "chat_id")
    op.drop_table("limits")
