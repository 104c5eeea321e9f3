"""``provisionerd jobs show`` and ``jobs logs``: one job, its log and how long it took."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from api.reads.jobdetails import JobLog, JobShown
from cli.joblisting import document
from cli.options import output_option
from cli.printing import DOCUMENTS, print_bars, print_document, print_facts
from cli.queue import position_text
from cli.screen import screen
from cli.source import Source, read, source
from cli.spans import Span
from cli.waiting import INTERRUPTED, View, show_updates
from db.reads.contract import ProvisionerJobLog
from db.reads.jobs import Job
from db.reads.logs import LOG_PAGE
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
    answer = read(JobShown(job=job))
    found, durations = answer.job, answer.durations
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
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Only the last N lines.")
@click.option(
    "--since", type=Span(), metavar="AGE", help="Only lines of the last AGE, such as 15m."
)
@click.option("--timestamps", is_flag=True, help="Begin each line with its local time.")
@output_option
def logs(
    *,
    job: str,
    follow: bool,
    tail: int | None,
    since: timedelta | None,
    timestamps: bool,
    output: str,
) -> None:
    r"""Print the log of JOB.

    With --follow, new lines are printed until the job ends.

    \b
    Examples:
        provisionerd jobs logs 3f2a --follow
        provisionerd jobs logs 3f2a --tail 20 --timestamps
    """
    if follow and output in DOCUMENTS:
        raise click.UsageError("--follow works only with table output")
    with source() as opened_source:
        job_id = opened_source.read(JobShown(job=job)).job.id
        lines = list(_stored_lines(opened_source, job_id))
        view = View(
            console=screen(),
            warn=lambda text: click.echo(f"Warning: {text}.", err=True),
            has_times=timestamps,
            is_wanted=_filter(lines, tail=tail, since=since),
        )
        if follow:
            _follow(opened_source, job_id, view)
            return
    _print_lines(lines, view, output=output)


def _filter(
    lines: Sequence[ProvisionerJobLog], *, tail: int | None, since: timedelta | None
) -> Callable[[ProvisionerJobLog], bool]:
    """Return what decides about a line, given those that are stored now."""
    earliest = datetime.now(UTC) - since if since is not None else None
    wanted = [line for line in lines if earliest is None or line.created_at >= earliest]
    left_out = wanted[: max(0, len(wanted) - tail)] if tail is not None else []
    last_left_out = left_out[-1].id if left_out else 0
    return lambda line: (
        line.id > last_left_out and (earliest is None or line.created_at >= earliest)
    )


def _follow(opened_source: Source, job_id: uuid.UUID, view: View) -> None:
    try:
        show_updates(opened_source.updates(job_id), view)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _stored_lines(opened_source: Source, job_id: uuid.UUID) -> Iterator[ProvisionerJobLog]:
    after: int | None = 0
    while after is not None:
        page = opened_source.read(JobLog(job=str(job_id), after=after))
        yield from page
        after = page[-1].id if len(page) == LOG_PAGE else None


def _print_lines(lines: Sequence[ProvisionerJobLog], view: View, *, output: str) -> None:
    if output in DOCUMENTS:
        print_document([line.model_dump() for line in lines if view.is_wanted(line)], output)
        return
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
