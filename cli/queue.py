"""``provisionerd queue``: the queues, and why a job waits."""

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
    matches: bool  #: it would claim the job unless it is offline or draining
    missing_tags: Mapping[str, str]
    reason: str

    @property
    def can_claim(self) -> bool:
        """Whether the worker matches, and takes new jobs."""
        return self.matches and self.status in {"busy", "idle"}


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
    r"""Show for each queue its waiting jobs, the oldest one, its workers and slots.

    \b
    Each set of tags has a queue; jobs without tags wait in the queue "builds".

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
    r"""Explain why JOB waits: its position, and which workers could claim it.

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
    bound_to = worker.organization_ids
    is_bound_to = not bound_to or str(job.organization_id) in bound_to
    return Match(
        worker=worker.name,
        status=worker.status,
        matches=serves and has_engine and is_bound_to,
        missing_tags=missing,
        reason=_reason(job, worker, missing=missing, serves=serves, has_engine=has_engine)
        if is_bound_to
        else f"runs only jobs of {', '.join(worker.organizations)}",
    )


def verdict(job: Job, matches: list[Match]) -> str:
    """Return one sentence that says why the job waits."""
    if job.status is not JobStatus.PENDING:
        return f"the job does not wait: it is {job.status}"
    live = sum(row.can_claim for row in matches)
    if live:
        return f"{job.queue_position - 1} jobs are ahead of it for {live} live workers that match"
    return _no_live_worker(job, matches)


def _no_live_worker(job: Job, matches: list[Match]) -> str:
    if any(row.matches for row in matches):
        return "every worker that matches is offline or draining: start one again"
    wanted = tags_text(job.tags)
    start = f"PROVISIONERD_TAGS={wanted} provisionerd worker" if wanted else "provisionerd worker"
    return f"0 of {len(matches)} workers match: start one with `{start}`"


def position_text(job: Job) -> str | None:
    """Return the job's position in its queue, or None if it does not wait."""
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
        return "lacks " + ", ".join(map("=".join, missing.items()))
    if not serves:
        return "has tags, and jobs without tags are for workers without tags"
    if not has_engine:
        return f"does not offer the engine {job.provisioner}"
    return _unavailability(worker)


def _unavailability(worker: WorkerListing) -> str:
    if worker.status == "offline":
        seen = seconds_text(worker.last_seen_s)
        how = "vanished" if worker.is_stale else "signed off"
        return f"{how}, last seen {seen} ago"
    return "takes no new jobs" if worker.status == "draining" else ""


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
