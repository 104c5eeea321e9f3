"""Imports and dry runs are claimed only by workers that can run them.

A worker of 0.1.0 claims every job of its queue, and fails one that is not a build. Later workers
write the lease token of their claim a second time, in a column that 0.1.0 does not know. Without
it the claim of an import or a dry run changes nothing, so that the worker sees an empty queue.

How it is deployed: at any time, with old and new workers running. The column has no default, so
PostgreSQL only changes its catalog. The trigger waits for the transactions that write jobs just
then, a few milliseconds, and lets none begin meanwhile.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE FUNCTION claim_needs_known_type() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END
$$
"""
TRIGGER = """
CREATE TRIGGER claim_needs_known_type
BEFORE UPDATE ON provisioner_jobs
FOR EACH ROW WHEN (
    OLD.started_at IS NULL
    AND NEW.started_at IS NOT NULL
    AND NEW.type <> 'workspace_build'
    AND NEW.claimed_with IS DISTINCT FROM NEW.lease_token
)
EXECUTE FUNCTION claim_needs_known_type()
"""


def upgrade() -> None:
    op.add_column("provisioner_jobs", sa.Column("claimed_with", sa.UUID(), nullable=True))
    op.execute(FUNCTION)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER claim_needs_known_type ON provisioner_jobs")
    op.execute("DROP FUNCTION claim_needs_known_type()")
    op.drop_column("provisioner_jobs", "claimed_with")
