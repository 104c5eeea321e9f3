"""A count of its own for the claims that ended because a worker shut down.

How it is deployed: at any time, with old and new workers running. The column has a constant
default, so that PostgreSQL changes its catalog and no row. An older worker that shuts down does
not know the count: its drain is an attempt, as before.
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
