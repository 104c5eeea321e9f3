"""Circuits: starts of a template version that keeps failing are refused for a while.

How it is deployed: at any time, with old and new workers running. It creates a table that the code
before it does not know, and replaces a function by one of the same arguments. Old workers count no
failures and close no circuit; a build that one of them runs says nothing about its version.
Services that have rights of their own need `provisionerd grants` again before they run new code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.schema.migrations.statements import (
    function_in,
    quoted,
    run,
    run_file,
    run_functions,
    schema_of_functions,
    schema_of_tables,
)

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

NEW_FUNCTIONS = (
    "admit_start(uuid, uuid, boolean)",
    "refuse_start(uuid, jsonb)",
    "circuits_key(uuid)",
    "failures_allowed(boolean)",
    "is_automatic(uuid, text)",
)


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "circuits",
        sa.Column("template_version_id", sa.UUID(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("openings", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trial_workspace_id", sa.UUID(), nullable=True),
        sa.Column("last_job_id", sa.UUID(), nullable=True),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("template_version_id", "reason", name=op.f("pk_circuits")),
        sa.ForeignKeyConstraint(
            ["template_version_id"],
            ["template_versions.id"],
            name=op.f("fk_circuits_template_version_id_template_versions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["trial_workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_circuits_trial_workspace_id_workspaces"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["last_job_id"],
            ["provisioner_jobs.id"],
            name=op.f("fk_circuits_last_job_id_provisioner_jobs"),
            ondelete="SET NULL",
        ),
        sa.CheckConstraint("failures > 0", name=op.f("ck_circuits_failures_positive")),
        sa.CheckConstraint(
            "(openings = 0) = (opened_at IS NULL) AND (openings = 0) = (open_until IS NULL)",
            name=op.f("ck_circuits_opened_at_all"),
        ),
        sa.CheckConstraint(
            "trial_workspace_id IS NULL OR open_until IS NOT NULL",
            name=op.f("ck_circuits_trial_of_opened"),
        ),
    )
    op.create_index(op.f("ix_circuits_last_job_id"), "circuits", ["last_job_id"])
    run_file(f"{revision}/circuits")


def downgrade() -> None:
    run_functions(function_in("0028/builds", "begin_build"))
    functions = quoted(schema_of_functions(schema_of_tables()))
    for function in NEW_FUNCTIONS:
        run(f"DROP FUNCTION {functions}.{function}")
    op.drop_table("circuits")
