"""Dry runs of template versions: what each plans for, and what it found.

How it is deployed: at any time, with old and new workers running. It creates a table that the code
before it does not know. A dry run that an old worker claims fails, and says that the worker is
old.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TABLE = "template_version_dry_runs"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("template_version_id", sa.UUID(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=True),
        sa.Column("workspace_name", sa.Text(), nullable=False),
        sa.Column("parameters", JSONB(), nullable=False),
        sa.Column("daily_cost", sa.Integer(), nullable=True),
        sa.Column("changes", JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_template_version_dry_runs")),
        _key("job_id", "provisioner_jobs"),
        _key("template_version_id", "template_versions"),
        _key("owner_id", "users"),
        _key("workspace_id", "workspaces"),
        sa.CheckConstraint(
            "daily_cost >= 0", name=op.f("ck_template_version_dry_runs_daily_cost_not_negative")
        ),
    )


def downgrade() -> None:
    op.drop_table(TABLE)


def _key(column: str, table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{TABLE}_{column}_{table}")
    return sa.ForeignKeyConstraint([column], [f"{table}.id"], name=name, ondelete="CASCADE")
