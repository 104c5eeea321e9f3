"""A separate count of the claims that ended because a worker drained.

How it is deployed: at any time, with old and new workers running. The column has a constant
default, so PostgreSQL only changes its catalog, not the rows. An older worker does not know the
column: its drains still count as attempts.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "provisioner_jobs",
        sa.Column("drains", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("provisioner_jobs", "drains")
