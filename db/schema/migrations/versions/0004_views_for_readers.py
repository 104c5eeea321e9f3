"""Views for readers: live workers, and the latest build of each workspace.

How it is deployed: at any time, with old and new workers running. It creates two views that the
code before it does not know, and takes no lock on a table.

The view of latest builds starts from ``workspaces``, so that a query with a condition on the
workspace, or with a join, reads one index entry of ``workspace_builds`` per workspace. DISTINCT ON
would read all builds, because PostgreSQL does not push the condition of a join into it.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# A worker that has not been seen for 90 seconds counts as offline. Source: Coder.
LIVE_WORKERS = """
CREATE VIEW live_workers AS
SELECT id, name, provisioners, queues, concurrency, NOT draining AS takes_jobs
FROM provisioner_daemons
WHERE stopped_at IS NULL AND last_seen_at > now() - interval '90 seconds'
"""

LATEST_BUILDS = """
CREATE VIEW latest_workspace_builds AS
SELECT workspaces.id AS workspace_id, build.id, build.created_at, build.build_number,
       build.template_version_id, build.transition, build.job_id, build.daily_cost
FROM workspaces
CROSS JOIN LATERAL (
    SELECT id, created_at, build_number, template_version_id, transition, job_id, daily_cost
    FROM workspace_builds
    WHERE workspace_id = workspaces.id
    ORDER BY build_number DESC
    LIMIT 1
) AS build
"""


def upgrade() -> None:
    op.execute(LIVE_WORKERS)
    op.execute(LATEST_BUILDS)


def downgrade() -> None:
    op.execute("DROP VIEW latest_workspace_builds")
    op.execute("DROP VIEW live_workers")
