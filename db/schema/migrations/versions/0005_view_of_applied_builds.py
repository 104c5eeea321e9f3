"""A view of the builds that entered apply.

How it is deployed: at any time, with old and new workers running. It creates a view that the code
before it does not know, and takes no lock on a table.

The last of these builds of a workspace made its existing resources, so later builds use its template
version and its values.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPLIED_BUILDS = """
CREATE VIEW applied_workspace_builds AS
SELECT build.id, build.workspace_id, build.build_number, build.template_version_id, build.job_id
FROM workspace_builds AS build
JOIN provisioner_jobs AS job ON job.id = build.job_id
WHERE job.stage IN ('apply', 'complete') OR job.job_status = 'succeeded'
"""


def upgrade() -> None:
    op.execute(APPLIED_BUILDS)


def downgrade() -> None:
    op.execute("DROP VIEW applied_workspace_builds")
