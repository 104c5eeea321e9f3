"""Workspaces that are stopped by themselves, and the times that templates set for that.

How it is deployed: at any time, with old and new workers running. It creates a table that the code
before it does not know, and columns with constant defaults, for which PostgreSQL only changes its
catalog. A start that an old worker finishes sets no deadline. Services that have rights of their own
need `provisionerd grants` again before they run new code: workers now enqueue stops.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

HOUR_NS = 3_600_000_000_000


def upgrade() -> None:
    op.create_table(
        "autostops",
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_retry", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_autostops_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_autostops")),
    )
    op.create_index(op.f("ix_autostops_due_at"), "autostops", ["due_at"])
    for name, default in (("default_ttl", 0), ("activity_bump", HOUR_NS)):
        op.add_column(
            "templates",
            sa.Column(name, sa.BigInteger(), server_default=sa.text(str(default)), nullable=False),
        )


def downgrade() -> None:
    op.drop_column("templates", "activity_bump")
    op.drop_column("templates", "default_ttl")
    op.drop_table("autostops")
