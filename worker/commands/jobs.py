"""``provisionerd jobs``: the jobs of workspace builds."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict

import click

from db.engine import Database
from db.enums import JobStatus
from db.listing import JobListing, get_job, list_jobs
from db.people import get_user
from db.progress import LOG_PAGE, LogLine, QueuePlace, find_job, job_logs, queue_place
from db.transitions import cancel_job
from worker.commands.building import INTERRUPTED
from worker.commands.opening import opened, transaction
from worker.commands.options import output_option
from worker.commands.printing import (
    JSON,
    Columns,
    print_facts,
    print_json,
    print_rows,
    screen,
    tags_text,
)
from worker.commands.waiting import View, follow_job

COLUMNS: Columns[JobListing] = {
    "JOB": lambda row: row.id,
    "STATUS": lambda row: row.status,
    "TRANSITION": lambda row: row.transition,
    "WORKSPACE": lambda row: f"{row.workspace_owner_name}/{row.workspace_name}",
    "STAGE": lambda row: row.stage if row.status.is_active else None,
    "CODE": lambda row: row.error_code,
    "QUEUE": lambda row: row.queue,
    "WORKER": lambda row: row.worker_name,
    "CREATED": lambda row: row.created_at,
}


@click.group()
def jobs() -> None:
    """List, show, follow and cancel the jobs of builds.

    JOB is a job's id, or its beginning as far as it is unique.
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
@click.option("--before", metavar="JOB", help="Only jobs older than this one: the next page.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="At most so many.",
)
@output_option
def list_(
    statuses: tuple[str, ...], owner: str | None, before: str | None, limit: int, output: str
) -> None:
    r"""List jobs, the newest first.

    \b
    Example:
        provisionerd jobs list --status pending --status running
        provisionerd jobs list --owner alice --output json
    """
    with transaction() as session:
        rows = list_jobs(
            session,
            statuses=[JobStatus(status) for status in statuses],
            owner_id=get_user(session, owner).id if owner else None,
            before=find_job(session, before) if before else None,
            limit=limit,
        )
    print_rows(rows, COLUMNS, output=output, kind="jobs")


@jobs.command()
@click.argument("job")
@output_option
def show(job: str, output: str) -> None:
    r"""Show everything that is known of JOB.

    \b
    Example:
        provisionerd jobs show 3f2a
    """
    with transaction() as session:
        found = get_job(session, find_job(session, job))
        place = queue_place(session, found.id)
    if output == JSON:
        print_json(
            {
                **asdict(found),
                "queue_position": place.position if place else 0,
                "queue_size": place.size if place else 0,
            }
        )
    else:
        _print(found, place)


@jobs.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job is finished.")
@output_option
def logs(job: str, follow: bool, output: str) -> None:
    r"""Print the log of JOB; with --follow, as it grows.

    \b
    Example:
        provisionerd jobs logs 3f2a --follow
    """
    if follow and output == JSON:
        raise click.UsageError("--follow goes with the table output only")
    with opened() as services:
        with services.database.begin() as session:
            job_id = find_job(session, job)
        if follow:
            _follow(services.database, job_id)
            return
        lines = list(_stored_lines(services.database, job_id))
    if output == JSON:
        print_json([asdict(line) for line in lines])
        return
    view = View(console=screen())
    for line in lines:
        view.print_line(line)


@jobs.command()
@click.argument("job")
@output_option
def cancel(job: str, output: str) -> None:
    r"""Request the end of JOB.

    A pending job is canceled at once. A running one is interrupted by its
    worker, which stores what was built so far; `jobs logs JOB -f` shows the end.

    \b
    Example:
        provisionerd jobs cancel 3f2a
    """
    with transaction() as session:
        job_id = find_job(session, job)
        status = cancel_job(session, job_id=job_id)
    if output == JSON:
        print_json({"id": job_id, "status": status})
    else:
        click.echo(f"Job {job_id} is {status}.")


def _follow(database: Database, job_id: uuid.UUID) -> None:
    view = View(console=screen(), warn=lambda text: click.echo(f"Warning: {text}.", err=True))
    try:
        follow_job(database, job_id, view)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _stored_lines(database: Database, job_id: uuid.UUID) -> Iterator[LogLine]:
    after: int | None = 0
    while after is not None:
        with database.begin() as session:
            page = job_logs(session, job_id=job_id, after=after)
        yield from page
        after = page[-1].id if len(page) == LOG_PAGE else None


def _print(job: JobListing, place: QueuePlace | None) -> None:
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
            "Place in queue": f"{place.position} of {place.size}" if place else None,
            "Tags": tags_text(job.tags),
            "Worker": job.worker_name,
            "Attempt": job.attempt,
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
