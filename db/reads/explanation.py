"""Why a job waits: which workers could claim it, and what the others lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.jobs.tags import missing_tags
from db.reads.jobs import Job
from db.reads.workers import WorkerListing
from db.schema.enums import JobStatus
from db.texts import seconds_text, tags_text


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


_AS_CLAUSE = {
    JobStatus.SUCCEEDED: "it has succeeded",
    JobStatus.FAILED: "it has failed",
    JobStatus.CANCELED: "it was canceled",
}


def verdict(job: Job, matches: Sequence[Match]) -> str:
    """Return one sentence that says why the job waits, and whether it may be refused then."""
    waits = _waits(job, matches)
    if not job.is_version_failing:
        return waits
    return f"{waits}; starts of its version keep failing: see `provisionerd circuits`"


def _waits(job: Job, matches: Sequence[Match]) -> str:
    if job.status is not JobStatus.PENDING:
        return f"the job does not wait: {_AS_CLAUSE.get(job.status, f'it is {job.status}')}"
    if job.is_queue_paused:
        return "its queue is paused: `provisionerd queue` says by whom, `queue resume` ends that"
    live = sum(row.can_claim for row in matches)
    if live:
        return f"{job.queue_position - 1} jobs are ahead of it for {live} live workers that match"
    return _no_live_worker(job, matches)


def _no_live_worker(job: Job, matches: Sequence[Match]) -> str:
    if any(row.matches for row in matches):
        return "every worker that matches is offline or draining: start one again"
    wanted = tags_text(job.tags)
    start = f"PROVISIONERD_TAGS={wanted} provisionerd worker" if wanted else "provisionerd worker"
    return f"0 of {len(matches)} workers match: start one with `{start}`"


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
