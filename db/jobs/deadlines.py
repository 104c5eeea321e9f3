"""When a workspace will be stopped automatically: set by the end of its builds.

A successful start sets the deadline, from the workspace's time to live. A stop that failed is tried
once more, because what it should have stopped costs money. Everything else that succeeds ends both.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.moves import Moved
from db.schema.enums import JobStatus, Transition, job_is_insufficient_quota_error_code
from db.schema.roles import PREBUILDS_USER_ID

# Locks no row of workspaces, so that it can wait for no other transaction that does.
_SUCCEEDED = sql("""
    WITH ended AS (
        SELECT build.id, build.workspace_id,
               CASE WHEN build.transition = 'start' AND workspace.owner_id <> :prebuilds_id
               THEN now() + make_interval(secs => nullif(workspace.ttl, 0) / 1e9) END AS deadline
        FROM workspace_builds AS build
        JOIN workspaces AS workspace ON workspace.id = build.workspace_id
        WHERE build.job_id = :job_id
    ), dated AS (
        UPDATE workspace_builds AS build
        SET deadline = ended.deadline
        FROM ended
        WHERE build.id = ended.id AND ended.deadline IS NOT NULL
    ), ended_before AS (
        DELETE FROM autostops
        USING ended
        WHERE autostops.workspace_id = ended.workspace_id AND ended.deadline IS NULL
    )
    INSERT INTO autostops (workspace_id, due_at)
    SELECT workspace_id, deadline FROM ended WHERE deadline IS NOT NULL
    ON CONFLICT (workspace_id) DO UPDATE SET due_at = excluded.due_at, is_retry = false
""")
# The build before tells a first failure from a second one.
_STOP_FAILED = sql("""
    INSERT INTO autostops (workspace_id, due_at, is_retry)
    SELECT build.workspace_id, now(), true
    FROM workspace_builds AS build
    LEFT JOIN workspace_builds AS earlier
           ON earlier.workspace_id = build.workspace_id
              AND earlier.build_number = build.build_number - 1
    LEFT JOIN provisioner_jobs AS earlier_job ON earlier_job.id = earlier.job_id
    WHERE build.job_id = :job_id
      AND NOT (coalesce(earlier.transition = 'stop', false)
               AND coalesce(earlier_job.job_status = 'failed', false))
    ON CONFLICT (workspace_id) DO UPDATE SET due_at = excluded.due_at, is_retry = true
""")


def settle_deadline(session: Session, moved: Moved) -> None:
    """Set or end the deadline of a workspace whose build has just ended, in its transaction."""
    if moved.transition is None:
        return
    if moved.move.after is JobStatus.SUCCEEDED:
        values = {"job_id": moved.job_id, "prebuilds_id": PREBUILDS_USER_ID}
        session.execute(_SUCCEEDED, values)
    elif moved.move.after is JobStatus.FAILED and _is_tried_again(moved):
        session.execute(_STOP_FAILED, {"job_id": moved.job_id})


def _is_tried_again(moved: Moved) -> bool:
    # What the quota refused is never retried automatically.
    is_refused = job_is_insufficient_quota_error_code(moved.error_code)
    return moved.transition is Transition.STOP and not is_refused
