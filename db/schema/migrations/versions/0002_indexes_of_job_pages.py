"""Indexes for pages of jobs by status, type and tags (``db.reads.pages``).

How it is deployed: at any time, with old and new workers running. The indexes are built
concurrently, so builds go on meanwhile. This takes a few seconds per million jobs and waits for
transactions that are open when it begins. Only the pages use the indexes; the code before this
migration does not know them.

If the migration is interrupted, PostgreSQL leaves an index that is marked invalid. Running the
migration again drops this index and builds it.
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
        # It waits for open transactions without blocking others, so it needs no lock timeout.
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
