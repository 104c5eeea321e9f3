"""The organizations of live workers, for readers that ask which workers could run a job.

How it is deployed: at any time, with old and new workers running. The view gets a column at its end;
what reads it names its columns.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

WITHOUT = """
CREATE VIEW live_workers AS
SELECT id, name, provisioners, queues, concurrency, NOT draining AS takes_jobs
FROM provisioner_daemons
WHERE stopped_at IS NULL AND last_seen_at > now() - interval '90 seconds'
"""
WITH = """
CREATE OR REPLACE VIEW live_workers AS
SELECT id, name, provisioners, queues, concurrency, NOT draining AS takes_jobs, organizations
FROM provisioner_daemons
WHERE stopped_at IS NULL AND last_seen_at > now() - interval '90 seconds'
"""


def upgrade() -> None:
    op.execute(WITH)


def downgrade() -> None:
    op.execute("DROP VIEW live_workers")
    op.execute(WITHOUT)
