"""The preset of a build.

How it is deployed: at any time, with old and new workers running. The column has no default, so
PostgreSQL only changes its catalog. It has no foreign key, which would need an index on a large
table: a preset lives as long as its version, and a version as long as its builds.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "workspace_builds", sa.Column("template_version_preset_id", sa.Uuid(), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("workspace_builds", "template_version_preset_id")
