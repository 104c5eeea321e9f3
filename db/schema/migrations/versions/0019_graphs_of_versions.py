"""The graph of a template version, which its import finds for its builds.

How it is deployed: at any time, with old and new workers running. The column has no default, so
PostgreSQL only changes its catalog. A build whose version has no graph asks Terraform for it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("template_version_terraform_values", sa.Column("graph", JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("template_version_terraform_values", "graph")
