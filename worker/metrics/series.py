"""The series of a worker process, with their names, help texts and labels.

No label has the name of a user, workspace or job: the number of such series would be unbounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from db.jobs.moves import Moved, Verb
from db.schema.enums import (
    FailureReason,
    JobErrorCode,
    JobStatus,
    ProvisionerType,
    Stage,
    Transition,
)
from quota.commit import QuotaDecision

UNTAGGED = "none"
UNCLAIMED = "pending"
"""The label ``stage`` of a job that was never claimed."""
BUILD_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
STAGE_BUCKETS = (0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600)
QUEUE_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800)


USUAL_FAILURES: Sequence[tuple[str, str, FailureReason]] = (
    (JobErrorCode.MISSING_TEMPLATE_PARAMETER, Stage.SET_UP, FailureReason.PARAMETERS),
    (JobErrorCode.REQUIRED_TEMPLATE_VARIABLES, Stage.SET_UP, FailureReason.PARAMETERS),
    (JobErrorCode.INSUFFICIENT_QUOTA, Stage.COMMIT_QUOTA, FailureReason.QUOTA),
    (UNTAGGED, Stage.SET_UP, FailureReason.ARCHIVE),
    (UNTAGGED, Stage.SET_UP, FailureReason.CIRCUIT),
    (UNTAGGED, Stage.APPLY, FailureReason.CANCELED),
    (UNTAGGED, Stage.PLAN, FailureReason.COST),
    (UNTAGGED, Stage.APPLY, FailureReason.DEADLINE),
    (UNTAGGED, Stage.APPLY, FailureReason.DRAINED),
    (UNTAGGED, Stage.SET_UP, FailureReason.HOOK),
    (UNTAGGED, Stage.SET_UP, FailureReason.INTERNAL),
    (UNTAGGED, Stage.SET_UP, FailureReason.PARAMETERS),
    (UNTAGGED, UNCLAIMED, FailureReason.PENDING_LIMIT),
    (UNTAGGED, Stage.PLAN, FailureReason.POISON),
    (UNTAGGED, Stage.SET_UP, FailureReason.SEALED),
    (UNTAGGED, Stage.SET_UP, FailureReason.TEMPLATE),
    (UNTAGGED, Stage.INIT, FailureReason.TERRAFORM),
    (UNTAGGED, Stage.PLAN, FailureReason.TERRAFORM),
    (UNTAGGED, Stage.APPLY, FailureReason.TERRAFORM),
    (UNTAGGED, Stage.APPLY, FailureReason.WORKER_LOST),
)
"""Error code, stage and reason of the series that are 0 from the first scrape."""
USUAL_FAILURES_OF_IMPORTS: Sequence[tuple[str, str, FailureReason]] = (
    (JobErrorCode.REQUIRED_TEMPLATE_VARIABLES, Stage.INIT, FailureReason.PARAMETERS),
    (UNTAGGED, Stage.SET_UP, FailureReason.ARCHIVE),
    (UNTAGGED, Stage.PLAN, FailureReason.COST),
    (UNTAGGED, Stage.PLAN, FailureReason.DEADLINE),
    (UNTAGGED, Stage.INIT, FailureReason.PARAMETERS),
    (UNTAGGED, UNCLAIMED, FailureReason.PENDING_LIMIT),
    (UNTAGGED, Stage.INIT, FailureReason.TEMPLATE),
    (UNTAGGED, Stage.PLAN, FailureReason.TEMPLATE),
    (UNTAGGED, Stage.INIT, FailureReason.TERRAFORM),
    (UNTAGGED, Stage.PLAN, FailureReason.TERRAFORM),
)
"""The same for imports, whose label ``transition`` is empty."""


class Metrics:
    """The series of one process. Implements ``provisioner.build.events.BuildEvents``."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._add_jobs(registry)
        self._add_builds(registry)
        self._add_claims(registry)
        self._add_repairs(registry)
        self._add_results(registry)
        self._show_known_labels()

    def _add_jobs(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.failures = counter(
            "provisionerd_job_failures_total",
            "Failed jobs by error code (none: untagged), transition, stage and failure reason.",
            ("error_code", "transition", "stage", "reason"),
        )
        self.job_timings = histogram(
            "provisionerd_job_timings_seconds",
            "Duration of provisioner jobs from claim to end.",
            ("provisioner", "status"),
            buckets=BUILD_BUCKETS,
        )
        self.jobs_current = Gauge(
            "provisionerd_jobs_current",
            "Jobs that run now.",
            ("provisioner",),
            registry=registry,
            multiprocess_mode="livesum",
        )

    def _add_builds(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.builds = counter(
            "provisionerd_workspace_builds_total",
            "Finished workspace builds.",
            ("transition", "status", "template_name"),
        )
        self.build_seconds = histogram(
            "provisionerd_build_seconds",
            "Duration of workspace builds from claim to end.",
            ("transition", "status"),
            buckets=BUILD_BUCKETS,
        )
        self.stages = histogram(
            "provisionerd_stage_seconds",
            "Duration of each stage of a build, whether it succeeded or not.",
            ("stage",),
            buckets=STAGE_BUCKETS,
        )

    def _add_claims(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.queue_wait = histogram(
            "provisionerd_queue_wait_seconds", "Time from enqueue to claim.", buckets=QUEUE_BUCKETS
        )
        self.claims = counter("provisionerd_claims_total", "Jobs claimed by this worker.")
        self.empty_doorbells = counter(
            "provisionerd_empty_doorbells_total", "Doorbells that found nothing to claim."
        )
        self.publish_failures = counter(
            "provisionerd_doorbell_publish_failures_total",
            "Failed attempts to ring, or to ask Redis for the number of doorbells.",
        )
        self.renewal_failures = counter(
            "provisionerd_lease_renewal_failures_total",
            "Failed attempts to renew the leases of this worker's builds.",
        )

    def _add_repairs(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        self.rerung_doorbells = counter(
            "provisionerd_rerung_doorbells_total", "Doorbells that the sweeper rang again."
        )
        self.requeues = counter(
            "provisionerd_requeues_total", "Jobs put back to pending before apply.", ("reason",)
        )
        self.reaped = counter(
            "provisionerd_reaped_jobs_total",
            "Jobs taken from lost workers, by their status afterwards.",
            ("status",),
        )
        self.watchdog_restarts = counter(
            "provisionerd_watchdog_restarts_total",
            "Times that this worker ended itself because it got no doorbells.",
        )
        self.sandbox = Gauge(
            "provisionerd_sandbox",
            "The sandbox of this worker's templates has the value 1: bwrap, landlock or off.",
            ("kind",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.leases_lost = counter(
            "provisionerd_leases_lost_total",
            "Builds that this worker gave up because their lease was lost.",
        )

    def _add_results(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        self.checkpoints = counter(
            "provisionerd_checkpoints_total",
            "States that were stored, or could not be stored, during apply.",
            ("result",),
        )
        self.log_write_failures = counter(
            "provisionerd_log_write_failures_total",
            "Failed attempts to store lines of a build's log; after an outage they are repeated.",
        )
        self.log_lines = counter(
            "provisionerd_log_lines_total", "Log lines of builds, stored or dropped.", ("result",)
        )
        self.quota_decisions = counter(
            "provisionerd_quota_decisions_total", "Decisions of quota commits.", ("decision",)
        )
        self.quota_credits = counter(
            "provisionerd_quota_credits_total",
            "Credits per day of allowed and of refused quota commits.",
            ("decision",),
        )

    def job_moved(self, moved: Moved) -> None:
        """Count a move of a job. The process that made the move calls this once."""
        if moved.move.verb is Verb.CLAIM:
            self.claims.inc()
            self.queue_wait.observe(moved.age_s)
        if moved.move.verb is Verb.REQUEUE:
            self.requeues.labels("lost" if moved.worker_was_lost else "drain").inc()
        if moved.worker_was_lost:
            self.reaped.labels(moved.move.after).inc()
        if not moved.move.after.is_active:
            self._job_finished(moved)

    @contextmanager
    def running(self, provisioner: ProvisionerType) -> Iterator[None]:
        """Count a job as running until the block ends."""
        self.jobs_current.labels(provisioner).inc()
        try:
            yield
        finally:
            self.jobs_current.labels(provisioner).dec()

    def _job_finished(self, moved: Moved) -> None:
        if moved.seconds is not None:
            shown = "success" if moved.move.after is JobStatus.SUCCEEDED else "failed"
            self.job_timings.labels(moved.provisioner, shown).observe(moved.seconds)
        if moved.failure_reason is not None:
            self._job_failed(moved, moved.failure_reason)
        if moved.transition is not None:
            self._build_finished(moved, moved.transition)

    def _job_failed(self, moved: Moved, reason: FailureReason) -> None:
        code, stage = moved.error_code or UNTAGGED, moved.stage or UNCLAIMED
        self.failures.labels(code, moved.transition or "", stage, reason).inc()

    def _build_finished(self, moved: Moved, transition: Transition) -> None:
        status = moved.move.after
        self.builds.labels(transition, status, moved.template_name).inc()
        if moved.seconds is not None:
            self.build_seconds.labels(transition, status).observe(moved.seconds)

    def stage_finished(self, stage: Stage, seconds: float) -> None:
        """Record the duration of a stage."""
        self.stages.labels(stage).observe(seconds)

    def quota_decided(self, decision: QuotaDecision, daily_cost: int) -> None:
        """Count a decision of the quota commit."""
        answer = "allowed" if decision.ok else "refused"
        self.quota_decisions.labels(answer).inc()
        self.quota_credits.labels(answer).inc(daily_cost)

    def checkpoint_finished(self, *, stored: bool) -> None:
        """Count a checkpoint."""
        self.checkpoints.labels("stored" if stored else "failed").inc()

    def log_write_failed(self) -> None:
        """Count a try to store log lines that failed."""
        self.log_write_failures.inc()

    def logs_finished(self, *, stored: int, dropped: int) -> None:
        """Count the log lines of a build."""
        self.log_lines.labels("stored").inc(stored)
        self.log_lines.labels("dropped").inc(dropped)

    def _show_known_labels(self) -> None:
        """Create the series with known labels at 0, since a rate needs a first value."""
        for transition in Transition:
            for code, stage, reason in USUAL_FAILURES:
                self.failures.labels(code, transition, stage, reason)
        for code, stage, reason in USUAL_FAILURES_OF_IMPORTS:
            self.failures.labels(code, "", stage, reason)
        for answer in ("allowed", "refused"):
            self.quota_decisions.labels(answer)
            self.quota_credits.labels(answer)
        for provisioner in ProvisionerType:
            self.jobs_current.labels(provisioner)
        _touch(self.checkpoints, ("stored", "failed"))
        _touch(self.log_lines, ("stored", "dropped"))
        _touch(self.reaped, (JobStatus.PENDING, JobStatus.FAILED, JobStatus.CANCELED))
        _touch(self.requeues, ("drain", "lost"))


def _touch(counter: Counter, values: Iterable[str]) -> None:
    for value in values:
        counter.labels(value)
