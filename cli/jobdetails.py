"""``provisionerd jobs show`` and ``jobs logs``: one job, its log and how long it took."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from cli.joblisting import document
from cli.opening import opened, transaction
from cli.options import output_option
from cli.printing import DOCUMENTS, print_bars, print_document, print_facts
from cli.queue import position_text
from cli.screen import screen
from cli.waiting import INTERRUPTED, View, follow_job
from db.engine import Database
from db.reads.contract import ProvisionerJobLog
from db.reads.jobs import Job, find_job_id, get_job
from db.reads.logs import LOG_PAGE, get_logs
from db.reads.timings import job_durations
from db.texts import tags_text


@click.command()
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


@click.command()
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
