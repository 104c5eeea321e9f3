"""``provisionerd queue``: which jobs wait, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import click

from cli.opening import transaction
from cli.options import output_option
from cli.printing import JSON, Columns, print_facts, print_json, print_rows, seconds_text, tags_text
from db.jobs.tags import missing_tags
from db.reads.contract import QUEUE_COUNT_LIMIT
from db.reads.jobs import Job, find_job_id, get_job
from db.reads.queues import QueueDepth, queue_depths
from db.reads.workers import WorkerListing, list_workers
from db.schema.enums import JobStatus

COLUMNS: Columns[QueueDepth] = {
    "QUEUE": lambda row: row.queue,
    "WAITING": lambda row: row.depth,
    "OLDEST": lambda row: seconds_text(row.oldest_s) if row.depth else None,
    "WORKERS": lambda row: row.workers,
    "SLOTS": lambda row: row.slots,
}


@dataclass(frozen=True, kw_only=True)
class Match:
    """Whether one worker can run a job, and if not, why."""

    worker: str
    status: str
    matches: bool  #: it would take the job, if it is not offline
    missing_tags: Mapping[str, str]
    reason: str


MATCH_COLUMNS: Columns[Match] = {
    "WORKER": lambda row: row.worker,
    "STATUS": lambda row: row.status,
    "MATCHES": lambda row: "yes" if row.matches else "no",
    "REASON": lambda row: row.reason,
}


@click.group(invoke_without_command=True)
@output_option
@click.pass_context
def queue(context: click.Context, output: str) -> None:
    r"""Show each queue: how many jobs wait, for how long, and for how many workers.

    \b
    A set of tags is a queue; jobs without tags wait in the queue "builds".

    \b
    Example:
        provisionerd queue
        provisionerd queue explain 3f2a
    """
    if context.invoked_subcommand:
        return
    with transaction() as session:
        rows = queue_depths(session)
    print_rows(rows, COLUMNS, output=output, kind="waiting jobs and no live workers")


@queue.command()
@click.argument("job")
@output_option
def explain(job: str, output: str) -> None:
    r"""Explain why JOB waits: its position, and which worker could take it.

    \b
    Example:
        provisionerd queue explain 3f2a
    """
    with transaction() as session:
        found = get_job(session, find_job_id(session, job))
        matches = [match(found, worker) for worker in list_workers(session)]
    if output == JSON:
        print_json(
            {
                "id": found.id,
                "status": found.status,
                "queue": found.queue,
                "tags": found.tags,
                "queue_position": found.queue_position,
                "queue_size": found.queue_size,
                "verdict": verdict(found, matches),
                "workers": [asdict(row) for row in matches],
            }
        )
    else:
        _print(found, matches)


def match(job: Job, worker: WorkerListing) -> Match:
    """Return whether the worker can run the job, and if not, why."""
    missing = missing_tags(job.tags, worker.tags)
    serves = job.queue in worker.queues
    has_engine = job.provisioner in worker.provisioners
    return Match(
        worker=worker.name,
        status=worker.status,
        matches=serves and has_engine,
        missing_tags=missing,
        reason=_reason(job, worker, missing=missing, serves=serves, has_engine=has_engine),
    )


def verdict(job: Job, matches: list[Match]) -> str:
    """Return in one sentence why the job waits."""
    if job.status is not JobStatus.PENDING:
        return f"the job does not wait: it is {job.status}"
    fitting = [row for row in matches if row.matches]
    alive = [row for row in fitting if row.status in {"busy", "idle"}]
    if alive:
        ahead = job.queue_position - 1
        return f"{ahead} jobs are ahead of it for {len(alive)} live workers that match"
    if fitting:
        return "every worker that matches is offline or draining: start one again"
    wanted = tags_text(job.tags)
    start = f"PROVISIONERD_TAGS={wanted} provisionerd worker" if wanted else "provisionerd worker"
    return f"0 of {len(matches)} workers match: start one with `{start}`"


def position_text(job: Job) -> str | None:
    """Return the job's position in its queue, or None when it does not wait."""
    if job.status is not JobStatus.PENDING:
        return None
    more = " or more" if job.queue_size == QUEUE_COUNT_LIMIT else ""
    return f"{job.queue_position} of {job.queue_size}{more}"


def _reason(
    job: Job,
    worker: WorkerListing,
    *,
    missing: Mapping[str, str],
    serves: bool,
    has_engine: bool,
) -> str:
    if missing:
        return "lacks " + ", ".join(f"{key}={value}" for key, value in missing.items())
    if not serves:
        return "has tags, and jobs without tags are for workers without tags"
    if not has_engine:
        return f"does not offer the engine {job.provisioner}"
    if worker.status == "offline":
        seen = seconds_text(worker.last_seen_s)
        how = "vanished" if worker.is_stale else "signed off"
        return f"{how}, last seen {seen} ago"
    return "takes nothing new" if worker.status == "draining" else ""


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
    print_rows(matches, MATCH_COLUMNS, output="table", kind="workers")
