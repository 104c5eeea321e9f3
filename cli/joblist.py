"""``provisionerd jobs list``: the jobs of workspace builds, newest first.

People wait for it most often, so it reads without the ORM and imports little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack

import click
from sqlalchemy import Connection

from cli.joblisting import KIND, jobs_limit_option
from cli.listing import Listing, listing_options
from cli.reference import owner_and_name_wanted
from db.reads.jobs import Job, find_job_id, get_job
from db.reads.pages import MAX_PAGE, UNTAGGED, Cursor, JobFilter, list_jobs
from db.reads.usernames import find_user_id
from db.schema.enums import JobErrorCode, JobStatus, JobType


class Filters(TypedDict):
    """The filters of ``jobs list``, by the names of its options."""

    statuses: tuple[str, ...]
    owner: str | None
    workspace: str | None
    queue: str | None
    error_code: str | None
    before: str | None


@click.command("list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in JobStatus]),
    help="Only jobs with this status. Repeatable.",
)
@click.option("--owner", metavar="USER", help="Only builds of this user's workspaces.")
@click.option(
    "--workspace",
    metavar="[OWNER/]NAME",
    help="Only builds of workspaces of this name; OWNER/NAME is one workspace.",
)
@click.option("--queue", help="Only jobs of this queue.")
@click.option(
    "--error-code",
    type=click.Choice([*(code.value for code in JobErrorCode), UNTAGGED]),
    help="Only jobs that failed with this code; `none` means without a code.",
)
@click.option("--before", metavar="JOB", help="Only jobs older than this one (the next page).")
@listing_options(KIND, limit=jobs_limit_option)
def list_(listing: Listing[Job], **filters: Unpack[Filters]) -> None:
    r"""List jobs, newest first.

    \b
    Example:
        provisionerd jobs list --status pending --status running --watch
        provisionerd jobs list --owner alice --output json
        provisionerd jobs list --error-code INSUFFICIENT_QUOTA
    """
    listing.print_plain(lambda connection, limit: _find(connection, filters, limit))


def _find(connection: Connection, filters: Filters, limit: int) -> Sequence[Job]:
    owner, workspace = owner_and_name_wanted(filters["owner"], filters["workspace"])
    wanted = JobFilter(
        types=[JobType.WORKSPACE_BUILD],
        statuses=[JobStatus(status) for status in filters["statuses"]],
        owner_id=find_user_id(connection, owner) if owner else None,
        workspace_name=workspace,
        queue=filters["queue"],
        error_code=filters["error_code"],
    )
    after = _cursor(connection, filters["before"]) if filters["before"] else None
    return list_jobs(connection, wanted, limit=min(limit, MAX_PAGE), after=after).jobs


def _cursor(connection: Connection, before: str) -> Cursor:
    job = get_job(connection, find_job_id(connection, before))
    return Cursor(created_at=job.created_at, id=job.id)
