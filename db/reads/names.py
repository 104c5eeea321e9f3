"""Names that begin with given letters, for the completion of words on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from db.engine import sql
from db.reads.jobs import Job, get_jobs, id_bounds
from db.reads.pages import JobFilter, list_jobs
from db.reads.queues import queue_depths
from db.schema.enums import JobStatus, JobType

if TYPE_CHECKING:
    from db.engine import Reader

LIMIT = 50
_SHORT = 8  #: letters of a job's ID that suffice, as tables show it

# Each has few rows, or ends at the limit along the index of its names.
_STATEMENTS: Mapping[str, str] = {
    "groups": """
        SELECT DISTINCT lower(name) AS found, '' AS note
        FROM groups
        WHERE starts_with(lower(name), :start)
        ORDER BY found
        LIMIT :limit
    """,
    "organizations": """
        SELECT name, display_name
        FROM organizations
        WHERE starts_with(lower(name), :start)
        ORDER BY lower(name)
        LIMIT :limit
    """,
    "templates": """
        SELECT DISTINCT lower(name) AS found, display_name
        FROM templates
        WHERE NOT deleted AND starts_with(lower(name), :start)
        ORDER BY found
        LIMIT :limit
    """,
    "tokens": """
        SELECT token.id, owner.username || ' ' || token.name
        FROM api_tokens AS token
        JOIN users AS owner ON owner.id = token.user_id
        WHERE starts_with(lower(token.id), :start)
        ORDER BY token.created_at DESC
        LIMIT :limit
    """,
    "users": """
        SELECT username, name
        FROM users
        WHERE NOT deleted AND starts_with(lower(username), :start)
        ORDER BY lower(username)
        LIMIT :limit
    """,
    "versions": """
        SELECT version.name, version.message
        FROM template_versions AS version
        JOIN templates AS template ON template.id = version.template_id
        WHERE lower(template.name) = :within AND NOT template.deleted
          AND starts_with(lower(version.name), :start)
        ORDER BY version.created_at DESC
        LIMIT :limit
    """,
    "webhooks": """
        SELECT id::text, url
        FROM webhooks
        WHERE starts_with(id::text, :start)
        ORDER BY created_at
        LIMIT :limit
    """,
    "workers": """
        SELECT name, version
        FROM provisioner_daemons
        WHERE starts_with(lower(name), :start)
        ORDER BY last_seen_at DESC
        LIMIT :limit
    """,
    "workspaces": """
        SELECT owner.username || '/' || workspace.name, template.name
        FROM users AS owner
        JOIN workspaces AS workspace ON workspace.owner_id = owner.id
        JOIN templates AS template ON template.id = workspace.template_id
        WHERE NOT owner.deleted AND NOT workspace.deleted
          AND starts_with(lower(owner.username), :owner)
          AND starts_with(lower(owner.username || '/' || workspace.name), :start)
        ORDER BY lower(owner.username), lower(workspace.name)
        LIMIT :limit
    """,
}
# A range over the primary key.
_JOBS = """
    SELECT id
    FROM provisioner_jobs
    WHERE id BETWEEN :first AND :last AND type = 'workspace_build'
      AND job_status = ANY(CAST(:statuses AS provisioner_job_status[]))
    LIMIT :limit
"""


def list_names(
    reader: Reader, kind: str, start: str, *, within: str | None = None
) -> list[tuple[str, str]]:
    """Return at most ``LIMIT`` names that begin with ``start``, and a note on each.

    Args:
        kind: the plural noun; for jobs, statuses may follow it: ``jobs pending running``.
        start: in lower case.
        within: the template whose versions are wanted.

    Raises:
        KeyError: there is no such kind.
        InvalidError: no ID of a job begins with ``start``.
    """
    noun, *statuses = kind.split()
    if noun == "jobs":
        return [_named(job, start) for job in _jobs(reader, start, statuses)]
    if noun == "queues":
        return [
            (depth.queue, f"{depth.depth} waiting")
            for depth in queue_depths(reader, count_to=LIMIT)
        ]
    values = {
        "start": start,
        "owner": start.partition("/")[0],
        "within": (within or "").lower(),
        "limit": LIMIT,
    }
    return [(name, note) for name, note in reader.execute(sql(_STATEMENTS[noun]), values)]


def _jobs(reader: Reader, start: str, statuses: Sequence[str]) -> Sequence[Job]:
    """Return the newest jobs; of those whose ID begins with some digits, any."""
    wanted = [JobStatus(status) for status in statuses] or list(JobStatus)
    if not start:
        builds = JobFilter(types=[JobType.WORKSPACE_BUILD], statuses=wanted)
        return list_jobs(reader, builds, limit=LIMIT).jobs
    bounds = {**id_bounds(start), "statuses": wanted, "limit": LIMIT}
    return get_jobs(reader, reader.execute(sql(_JOBS), bounds).scalars().all())


def _named(job: Job, start: str) -> tuple[str, str]:
    name = str(job.id)
    note = f"{job.transition} {job.workspace_owner_name}/{job.workspace_name}, {job.status}"
    return (name[:_SHORT] if len(start) <= _SHORT else name), note
