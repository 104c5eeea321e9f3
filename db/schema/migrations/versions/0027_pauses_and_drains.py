"""Pauses of queues, and drains of workers that somebody asked for.

How it is deployed: at any time, with old and new workers running. The column has no default, so
PostgreSQL only changes its catalog, and the view gets the same columns. Workers of earlier versions
know no pauses and no drains: they go on claiming. Services that have rights of their own need
`provisionerd grants` again before they run new code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

VIEW = """
CREATE OR REPLACE VIEW live_workers AS
SELECT id, name, provisioners, queues, concurrency, {takes_jobs} AS takes_jobs, organizations
FROM provisioner_daemons
WHERE stopped_at IS NULL AND last_seen_at > now() - interval '90 seconds'
"""


def upgrade() -> None:
    op.add_column(
        "provisioner_daemons",
        sa.Column("drain_requested_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.execute(VIEW.format(takes_jobs="NOT draining AND drain_requested_at IS NULL"))
    op.create_table(
        "queue_pauses",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "paused_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_queue_pauses")),
    )


def downgrade() -> None:
    op.drop_table("queue_pauses")
    op.execute(VIEW.format(takes_jobs="NOT draining"))
    op.drop_column("provisioner_daemons", "drain_requested_at")
