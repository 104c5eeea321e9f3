"""``provisionerd jobs``: the jobs of workspace builds."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TypedDict, Unpack

import click
from sqlalchemy.orm import Session

from cli.awaiting import wait
from cli.canceling import cancel
from cli.joblisting import KIND, document, jobs_limit_option
from cli.listing import Listing, listing_options
from cli.opening import opened, transaction
from cli.options import output_option
from cli.printing import DOCUMENTS, print_bars, print_document, print_facts
from cli.queue import position_text
from cli.reference import owner_and_name_wanted
from cli.retrying import retry
from cli.screen import screen
from cli.waiting import INTERRUPTED, View, follow_job
from db.catalog.people import get_user
from db.engine import Database
from db.reads.contract import ProvisionerJobLog
from db.reads.jobs import Job, find_job_id, get_job
from db.reads.logs import LOG_PAGE, get_logs
from db.reads.pages import MAX_PAGE, UNTAGGED, Cursor, JobFilter, list_jobs
from db.reads.timings import job_durations
from db.schema.enums import JobErrorCode, JobStatus, JobType
from db.texts import tags_text


class Filters(TypedDict):
    """The filters of ``jobs list``, by the names of its options."""

    statuses: tuple[str, ...]
    owner: str | None
    workspace: str | None
    queue: str | None
    error_code: str | None
    before: str | None


@click.group()
def jobs() -> None:
    """List, show, follow, await, cancel and retry the jobs of builds.

    JOB is a job ID or a unique prefix of one.
    """


@jobs.command("list")
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
    listing.print_from_database(lambda session, limit: _find(session, filters, limit))


@jobs.command()
@click.argument("job")
@output_option
def show(job: str, output: str) -> None:
    r"""Show all details of JOB.

    \b
    Example:
        provisionerd jobs show 3f2a
    """
    with transaction() as session:
        found = get_job(session, find_job_id(session, job))
        durations = job_durations(session, found.id)
    if output in DOCUMENTS:
        print_document(
            {
                **document(found),
                "queue_position": found.queue_position,
                "queue_size": found.queue_size,
                "durations": [asdict(duration) for duration in durations],
            },
            output,
        )
        return
    _print(found)
    click.echo()
    print_bars([(duration.stage, duration.seconds) for duration in durations], unit="s")


@jobs.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Follow the log until the job ends.")
@output_option
def logs(job: str, follow: bool, output: str) -> None:
    r"""Print the log of JOB; with --follow, print new lines until the job ends.

    \b
    Example:
        provisionerd jobs logs 3f2a --follow
    """
    if follow and output in DOCUMENTS:
        raise click.UsageError("--follow works only with table output")
    with opened() as services:
        with services.database.begin() as session:
            job_id = find_job_id(session, job)
        if follow:
            _follow(services.database, job_id)
            return
        lines = list(_stored_lines(services.database, job_id))
    _print_lines(lines, output=output)


jobs.add_command(cancel)
jobs.add_command(retry)
jobs.add_command(wait)


def _find(session: Session, filters: Filters, limit: int) -> Sequence[Job]:
    owner, workspace = owner_and_name_wanted(filters["owner"], filters["workspace"])
    wanted = JobFilter(
        types=[JobType.WORKSPACE_BUILD],
        statuses=[JobStatus(status) for status in filters["statuses"]],
        owner_id=get_user(session, owner).id if owner else None,
        workspace_name=workspace,
        queue=filters["queue"],
        error_code=filters["error_code"],
    )
    after = _cursor(session, filters["before"]) if filters["before"] else None
    return list_jobs(session, wanted, limit=min(limit, MAX_PAGE), after=after).jobs


def _cursor(session: Session, before: str) -> Cursor:
    job = get_job(session, find_job_id(session, before))
    return Cursor(created_at=job.created_at, id=job.id)


def _follow(database: Database, job_id: uuid.UUID) -> None:
    view = View(console=screen(), warn=lambda text: click.echo(f"Warning: {text}.", err=True))
    try:
        follow_job(database, job_id, view)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _stored_lines(database: Database, job_id: uuid.UUID) -> Iterator[ProvisionerJobLog]:
    after: int | None = 0
    while after is not None:
        with database.begin() as session:
            page = get_logs(session, job_id, after=after)
        yield from page
        after = page[-1].id if len(page) == LOG_PAGE else None


def _print_lines(lines: Sequence[ProvisionerJobLog], *, output: str) -> None:
    if output in DOCUMENTS:
        print_document([line.model_dump() for line in lines], output)
        return
    view = View(console=screen())
    for line in lines:
        view.print_line(line)


def _print(job: Job) -> None:
    print_facts(
        {
            "Job": job.id,
            "Status": job.status,
            "Error": job.error,
            "Error code": job.error_code,
            "Failure reason": job.failure_reason,
            "Workspace": f"{job.workspace_owner_name}/{job.workspace_name}",
            "Build": f"{job.transition}, number {job.build_number} ({job.workspace_build_id})",
            "Template": f"{job.template_name} {job.template_version_name}",
            "Initiator": job.initiator_name,
            "Queue": job.queue,
            "Position in queue": position_text(job),
            "Tags": tags_text(job.tags),
            "Worker": job.worker_name,
            "Attempt": job.attempt,
            "Drains": job.drains or None,
            "Stage": job.stage,
            "Daily cost": job.daily_cost,
            "Quota budget": job.quota_budget,
            "Quota consumed": job.quota_credits_consumed,
            "Created": job.created_at,
            "Started": job.started_at,
            "Cancel requested": job.canceled_at,
            "Completed": job.completed_at,
            "Log": "the middle was left out for size" if job.logs_overflowed else None,
        }
    )
