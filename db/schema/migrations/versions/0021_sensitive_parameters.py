"""Parameters whose values must not appear in logs and errors.

How it is deployed: at any time, with old and new workers running. The code before it neither reads
nor writes the column, whose default is what that code assumes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLE = "template_version_parameters"


def upgrade() -> None:
    op.add_column(
        TABLE, sa.Column("sensitive", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column(TABLE, "sensitive")
