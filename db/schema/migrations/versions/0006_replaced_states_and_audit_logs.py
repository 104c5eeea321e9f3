"""States that a person replaced, and a log of who changed what.

How it is deployed: at any time, with old and new workers running. It creates two tables that the
code before it does not know. A pushed state is written to the latest build, where that code reads
it, so builds that an older service enqueues start from it, too.

An older worker does not know that a state was pushed. If it finds a newer state of the same build on
its disk, it replaces the pushed one. So until all workers are new, do not push a state for a build
whose worker was lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_replaced_states()
    _make_audit_logs()


def downgrade() -> None:
    op.drop_table("audit_logs")
    op.drop_table("replaced_states")


def _make_replaced_states() -> None:
    op.create_table(
        "replaced_states",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("workspace_build_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("provisioner_state", sa.LargeBinary(), nullable=True),
        sa.Column("state_lineage", sa.Text(), nullable=True),
        sa.Column("state_serial", sa.BigInteger(), nullable=True),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "replaced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("position >= 0", name=op.f("ck_replaced_states_position_not_negative")),
        sa.CheckConstraint(
            "(provisioner_state IS NULL) OR"
            " (state_lineage IS NOT NULL AND state_serial IS NOT NULL)",
            name=op.f("ck_replaced_states_state_is_identified"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_build_id"],
            ["workspace_builds.id"],
            name=op.f("fk_replaced_states_workspace_build_id_workspace_builds"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replaced_states")),
        sa.UniqueConstraint(
            "workspace_build_id",
            "position",
            name=op.f("uq_replaced_states_workspace_build_id_position"),
        ),
    )


def _make_audit_logs() -> None:
    op.create_table(
        "audit_logs",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column(
            "time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("user_id", sa.UUID(), nullable=True),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.UUID(), nullable=False),
        sa.Column("resource_target", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("diff", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column(
            "additional_fields", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_logs")),
    )
    op.create_index(op.f("ix_audit_logs_resource_id_time"), "audit_logs", ["resource_id", "time"])
