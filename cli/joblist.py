"""``provisionerd jobs list``: the jobs of workspace builds, newest first.

People wait for it most often, so it reads without the ORM and imports little.
"""

from __future__ import annotations

from functools import partial
from typing import TypedDict, Unpack

import click

from api.reads.jobs import JobList
from cli.joblisting import KIND, jobs_limit_option
from cli.listing import Listing, listing_options
from cli.reference import owner_and_name_wanted
from db.reads.jobs import Job
from db.reads.pages import UNTAGGED
from db.schema.enums import JobErrorCode, JobStatus


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
    owner, workspace = owner_and_name_wanted(filters["owner"], filters["workspace"])
    wanted = partial(
        JobList,
        status=[JobStatus(status) for status in filters["statuses"]],
        owner=owner,
        workspace=workspace,
        queue=filters["queue"],
        error_code=filters["error_code"],
        before=filters["before"],
    )
    listing.print_answers(wanted)
