"""Indexes for pages of jobs by status, type and tags (``db.reads.pages``).

How it is deployed: at any time, with old and new workers running. The indexes are built
concurrently, so that builds go on meanwhile; that takes a few seconds per million jobs and waits
for transactions that are open when it begins. Nothing but the pages reads them, and the code
before this migration does not know them.

When it is interrupted, PostgreSQL leaves an index that is marked invalid: running the migration
again drops and builds it anew.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_provisioner_jobs_by_status": [
        "organization_id",
        "job_status",
        "type",
        "created_at",
        "id",
    ],
    "ix_provisioner_jobs_by_queue": [
        "organization_id",
        "queue",
        "job_status",
        "type",
        "created_at",
        "id",
    ],
}


def upgrade() -> None:
    # A concurrent build cannot run within a transaction.
    with op.get_context().autocommit_block():
        # It waits for open transactions without making anybody wait, so it may take its time.
        op.execute("SET lock_timeout = 0")
        for name, columns in INDEXES.items():
            _drop(name)
            op.create_index(name, "provisioner_jobs", columns, postgresql_concurrently=True)
        op.execute("SET lock_timeout = '5s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            _drop(name)


def _drop(name: str) -> None:
    op.drop_index(name, "provisioner_jobs", if_exists=True, postgresql_concurrently=True)
