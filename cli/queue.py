"""``provisionerd queue``: the queues, and why a job waits."""

from __future__ import annotations

from dataclasses import asdict

import click

from api.reads.jobdetails import JobExplained
from api.reads.operations import QueueList
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.options import output_option
from cli.pausing import pause, resume
from cli.printing import DOCUMENTS, TABLE, print_document, print_facts, print_rows
from cli.source import read
from cli.table import Column, Columns
from db.reads.counting import QUEUE_COUNT_LIMIT
from db.reads.explanation import Match, verdict
from db.reads.jobs import Job
from db.reads.queues import QueueDepth
from db.schema.enums import JobStatus
from db.texts import seconds_text, tags_text


def pause_text(queue: QueueDepth) -> str:
    """Return who paused the queue, and why; nothing if it is not paused."""
    if queue.paused_at is None:
        return ""
    reason = f": {queue.pause_reason}" if queue.pause_reason else ""
    return f"by {queue.paused_by}{reason}"


COLUMNS: Columns[QueueDepth] = {
    "QUEUE": lambda row: row.queue,
    "WAITING": lambda row: row.depth,
    "OLDEST": lambda row: seconds_text(row.oldest_s) if row.depth else None,
    "WORKERS": lambda row: row.workers,
    "SLOTS": lambda row: row.slots,
    "TAGS": Column(lambda row: tags_text(row.tags), 1),
    "PAUSED": Column(pause_text, 2),
}
KIND = Kind(
    plural="waiting jobs, no paused queues and no live workers",
    columns=COLUMNS,
    name=lambda row: row.queue,
)


MATCH_COLUMNS: Columns[Match] = {
    "WORKER": lambda row: row.worker,
    "STATUS": lambda row: row.status,
    "MATCHES": lambda row: "yes" if row.matches else "no",
    "REASON": lambda row: row.reason,
}


@click.group(cls=AliasGroup, invoke_without_command=True)
@listing_options(KIND)
@click.pass_context
def queue(context: click.Context, listing: Listing[QueueDepth]) -> None:
    r"""Show for each queue its waiting jobs, the oldest one, its workers and slots.

    \b
    Each set of tags has a queue; jobs without tags wait in the queue "builds".

    \b
    Example:
        provisionerd queue
        provisionerd queue explain 3f2a
        provisionerd queue pause builds
    """
    if context.invoked_subcommand:
        return
    listing.print_answers(QueueList)


queue.add_command(pause)
queue.add_command(resume)


@queue.command()
@click.argument("job")
@output_option
def explain(job: str, output: str) -> None:
    r"""Explain why JOB waits, and which workers could claim it.

    \b
    Example:
        provisionerd queue explain 3f2a
    """
    answer = read(JobExplained(job=job))
    found, matches = answer.job, answer.matches
    if output in DOCUMENTS:
        print_document(
            {
                "id": found.id,
                "status": found.status,
                "queue": found.queue,
                "tags": found.tags,
                "queue_position": found.queue_position,
                "queue_size": found.queue_size,
                "verdict": verdict(found, matches),
                "workers": [asdict(row) for row in matches],
            },
            output,
        )
    else:
        _print(found, matches)


def position_text(job: Job) -> str | None:
    """Return the job's position in its queue, or None if it does not wait."""
    if job.status is not JobStatus.PENDING:
        return None
    more = " or more" if job.queue_size == QUEUE_COUNT_LIMIT else ""
    return f"{job.queue_position} of {job.queue_size}{more}"


def _print(job: Job, matches: list[Match]) -> None:
    print_facts(
        {
            "Job": job.id,
            "Status": job.status,
            "Queue": job.queue,
            "Tags": tags_text(job.tags) or "none",
            "Position": position_text(job),
            "Verdict": verdict(job, matches),
        }
    )
    click.echo()
    print_rows(matches, MATCH_COLUMNS, output=TABLE, kind="workers")
