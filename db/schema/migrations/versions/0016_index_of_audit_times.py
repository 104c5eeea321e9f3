"""An index over the times of the audit log, for its newest rows and for its retention.

How it is deployed: at any time, with old and new workers running. The index is built concurrently,
so that requests which are audited go on meanwhile.

If the migration is interrupted, PostgreSQL leaves an index that is marked invalid. Running the
migration again drops this index and builds it.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

NAME = "ix_audit_logs_time_id"


def upgrade() -> None:
    # A concurrent build cannot run within a transaction.
    with op.get_context().autocommit_block():
        # It waits for open transactions without blocking others, so it needs no lock timeout.
        op.execute("SET lock_timeout = 0")
        _drop()
        op.create_index(NAME, "audit_logs", ["time", "id"], postgresql_concurrently=True)
        op.execute("SET lock_timeout = '5s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        _drop()


def _drop() -> None:
    op.drop_index(NAME, "audit_logs", if_exists=True, postgresql_concurrently=True)
