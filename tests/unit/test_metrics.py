"""What is counted, under which labels, and which processes' files it comes from."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric

from db.jobs.moves import Move, Moved, Verb
from db.schema.enums import (
    FailureReason,
    JobErrorCode,
    JobStatus,
    JobType,
    ProvisionerType,
    Stage,
    Transition,
)
from provisioner.build.failures import (
    FailedJob,
    failed_workspace_build,
    failed_workspace_build_code,
)
from quota.commit import QuotaDecision
from worker.metrics.multiprocess import DIRECTORY_VARIABLE, forget_lost_processes
from worker.metrics.series import USUAL_FAILURES, Metrics

FAILURES = "provisionerd_job_failures_total"
BUILDS = "provisionerd_workspace_builds_total"
NAMING_LABELS = {"user", "username", "owner", "workspace", "workspace_name", "job", "job_id", "id"}

Labels = dict[str, str]
MAKE_DIRECTORY = (
    "import os, sys; from pathlib import Path; from worker.metrics.multiprocess import"
    " make_metrics_directory as make; print(make(Path(sys.argv[1])).name, flush=True);"
    " os.execvp('cat', ['cat'])"
)


@dataclass(kw_only=True)
class Scrape:
    """The series of one process, at any moment."""

    registry: CollectorRegistry
    metrics: Metrics

    def families(self) -> list[Metric]:
        return list(self.registry.collect())

    def values(self, name: str) -> list[tuple[Labels, float]]:
        return [
            (sample.labels, sample.value)
            for family in self.families()
            for sample in family.samples
            if sample.name == name
        ]

    def counted(self, name: str) -> list[tuple[Labels, float]]:
        """The series that do not stand at 0."""
        return [(labels, value) for labels, value in self.values(name) if value]


@pytest.fixture
def scrape() -> Scrape:
    registry = CollectorRegistry()
    return Scrape(registry=registry, metrics=Metrics(registry))


VERBS = {
    JobStatus.RUNNING: Verb.CLAIM,
    JobStatus.PENDING: Verb.REQUEUE,
    JobStatus.SUCCEEDED: Verb.COMPLETE,
    JobStatus.CANCELED: Verb.FINISH_CANCEL,
    JobStatus.FAILED: Verb.FAIL,
}


def moved(after: JobStatus, **facts: Any) -> Moved:
    given = {
        "job_id": uuid.uuid4(),
        "move": Move(VERBS[after], JobStatus.RUNNING, after),
        "at": datetime.now(UTC),
        "lease_token": uuid.uuid4(),
        "attempt": 1,
        "drains": 0,
        "queue": "builds",
        "provisioner": ProvisionerType.ECHO,
        "type": JobType.WORKSPACE_BUILD,
        "transition": Transition.START,
        "template_name": "machine",
        "age_s": 9.0,
        "seconds": 2.0,
        "stage": Stage.APPLY,
    }
    return Moved(**{**given, **facts})


def failed(failure: FailedJob, **facts: Any) -> Moved:
    return moved(
        JobStatus.FAILED,
        error=failure.error,
        error_code=failure.error_code,
        failure_reason=failure.reason,
        **facts,
    )


@pytest.mark.parametrize("transition", Transition)
@pytest.mark.parametrize("code", [*JobErrorCode, "none"])
def test_every_error_code_stands_at_0_in_the_first_scrape(
    scrape: Scrape, code: str, transition: Transition
) -> None:
    values = [
        value
        for labels, value in scrape.values(FAILURES)
        if (labels["error_code"], labels["transition"]) == (code, transition)
    ]

    assert set(values) == {0.0}


@pytest.mark.parametrize("reason", FailureReason)
def test_every_reason_stands_at_0_in_the_first_scrape(
    scrape: Scrape, reason: FailureReason
) -> None:
    values = [value for labels, value in scrape.values(FAILURES) if labels["reason"] == reason]

    assert set(values) == {0.0}


def test_the_first_scrape_counts_nothing(scrape: Scrape) -> None:
    assert [
        sample.name
        for family in scrape.families()
        for sample in family.samples
        if sample.value and not sample.name.endswith("_created")
    ] == []


def test_the_usual_failures_are_each_named_once() -> None:
    assert len(set(USUAL_FAILURES)) == len(USUAL_FAILURES)


def test_no_label_names_a_user_a_workspace_or_a_job(scrape: Scrape) -> None:
    for status in VERBS:
        scrape.metrics.job_moved(moved(status))
    scrape.metrics.job_moved(failed(CLOUD, worker_was_lost=True))

    used = {
        label
        for family in scrape.families()
        for sample in family.samples
        for label in sample.labels
    }

    assert used & NAMING_LABELS == set()


QUOTA = failed_workspace_build_code(
    JobErrorCode.INSUFFICIENT_QUOTA, "no credits left", reason=FailureReason.QUOTA
)
PARAMETER = failed_workspace_build("missing parameter: size", reason=FailureReason.PARAMETERS)
VARIABLES = failed_workspace_build("required template variables", reason=FailureReason.PARAMETERS)
CLOUD = failed_workspace_build("insufficient quota in us-east1", reason=FailureReason.TERRAFORM)


@pytest.mark.parametrize(
    ("failure", "stage", "code", "reason"),
    [
        pytest.param(QUOTA, Stage.COMMIT_QUOTA, "INSUFFICIENT_QUOTA", "quota", id="quota"),
        pytest.param(
            PARAMETER, Stage.SET_UP, "MISSING_TEMPLATE_PARAMETER", "parameters", id="parameter"
        ),
        pytest.param(
            VARIABLES, Stage.SET_UP, "REQUIRED_TEMPLATE_VARIABLES", "parameters", id="variables"
        ),
        pytest.param(CLOUD, Stage.APPLY, "none", "terraform", id="a cloud that speaks of quota"),
    ],
)
def test_a_failed_build_is_counted_once_by_code_and_reason(
    scrape: Scrape, failure: FailedJob, stage: Stage, code: str, reason: str
) -> None:
    scrape.metrics.job_moved(failed(failure, stage=stage))

    labels = {"error_code": code, "transition": "start", "stage": stage.value, "reason": reason}
    assert scrape.counted(FAILURES) == [(labels, 1.0)]


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.CANCELED])
def test_what_did_not_fail_is_no_failure(scrape: Scrape, status: JobStatus) -> None:
    scrape.metrics.job_moved(moved(status))

    assert scrape.counted(FAILURES) == []


@pytest.mark.parametrize("status", [status for status in VERBS if not status.is_active])
def test_a_finished_build_is_counted_once_by_status(scrape: Scrape, status: JobStatus) -> None:
    scrape.metrics.job_moved(moved(status))

    labels = {"transition": "start", "status": status.value, "template_name": "machine"}
    assert scrape.counted(BUILDS) == [(labels, 1.0)]


def test_a_job_that_is_no_workspace_build_is_timed_and_not_counted_as_one(scrape: Scrape) -> None:
    scrape.metrics.job_moved(
        moved(
            JobStatus.SUCCEEDED,
            type=JobType.TEMPLATE_VERSION_IMPORT,
            transition=None,
            template_name="",
        )
    )

    assert scrape.counted(BUILDS) == []
    assert scrape.counted("provisionerd_job_timings_seconds_sum") != []


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        pytest.param(JobStatus.SUCCEEDED, "success", id="succeeded"),
        pytest.param(JobStatus.CANCELED, "failed", id="canceled"),
    ],
)
def test_the_time_of_a_finished_build_is_measured(
    scrape: Scrape, status: JobStatus, shown: str
) -> None:
    scrape.metrics.job_moved(moved(status))

    labels = {"provisioner": "echo", "status": shown}
    assert scrape.counted("provisionerd_job_timings_seconds_sum") == [(labels, 2.0)]


@pytest.mark.parametrize("status", [status for status in VERBS if status.is_active])
def test_a_job_that_goes_on_is_no_finished_build(scrape: Scrape, status: JobStatus) -> None:
    scrape.metrics.job_moved(moved(status))

    assert scrape.counted(BUILDS) == []


def test_a_claim_is_counted_with_its_wait(scrape: Scrape) -> None:
    scrape.metrics.job_moved(moved(JobStatus.RUNNING))

    assert scrape.counted("provisionerd_claims_total") == [({}, 1.0)]
    assert scrape.counted("provisionerd_queue_wait_seconds_sum") == [({}, 9.0)]


@pytest.mark.parametrize(("worker_was_lost", "reason"), [(False, "drain"), (True, "lost")])
def test_a_job_that_was_put_back_is_counted_by_its_reason(
    scrape: Scrape, worker_was_lost: bool, reason: str
) -> None:
    scrape.metrics.job_moved(moved(JobStatus.PENDING, worker_was_lost=worker_was_lost))

    assert scrape.counted("provisionerd_requeues_total") == [({"reason": reason}, 1.0)]


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.CANCELED, JobStatus.FAILED])
def test_a_job_that_was_taken_from_a_lost_worker_is_counted_by_what_became_of_it(
    scrape: Scrape, status: JobStatus
) -> None:
    scrape.metrics.job_moved(moved(status, worker_was_lost=True))

    assert scrape.counted("provisionerd_reaped_jobs_total") == [({"status": status.value}, 1.0)]


def test_a_job_that_nobody_claimed_has_no_time_but_is_counted(scrape: Scrape) -> None:
    late = failed_workspace_build("too late", reason=FailureReason.PENDING_LIMIT)

    scrape.metrics.job_moved(failed(late, seconds=None, stage=None))

    assert scrape.counted("provisionerd_job_timings_seconds_count") == []
    assert [labels["stage"] for labels, _ in scrape.counted(FAILURES)] == ["pending"]


def test_a_job_runs_until_its_block_ends_with_an_error(scrape: Scrape) -> None:
    running = []

    def run() -> None:
        with scrape.metrics.running(ProvisionerType.ECHO):
            running.extend(scrape.counted("provisionerd_jobs_current"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()

    assert running == [({"provisioner": "echo"}, 1.0)]
    assert scrape.counted("provisionerd_jobs_current") == []


@pytest.mark.parametrize(
    ("ok", "answer"),
    [pytest.param(True, "allowed", id="yes"), pytest.param(False, "refused", id="no")],
)
def test_an_answer_of_the_quota_commit_is_counted_with_its_credits(
    scrape: Scrape, ok: bool, answer: str
) -> None:
    scrape.metrics.quota_decided(QuotaDecision(ok=ok, budget=9, credits_consumed=3), 7)

    labels = {"decision": answer}
    assert scrape.counted("provisionerd_quota_decisions_total") == [(labels, 1.0)]
    assert scrape.counted("provisionerd_quota_credits_total") == [(labels, 7.0)]


@dataclass(kw_only=True)
class PreforkWorker:
    """A process that has made its metrics directory and has become another program since."""

    process: subprocess.Popen[str]
    directory: Path

    def end(self) -> None:
        self.process.communicate(timeout=60)


def start_prefork_worker(data_dir: Path) -> PreforkWorker:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE_DIRECTORY, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    return PreforkWorker(process=process, directory=data_dir / "metrics" / name)


def test_the_metrics_of_a_worker_that_has_ended_are_removed(tmp_path: Path) -> None:
    earlier = start_prefork_worker(tmp_path)
    earlier.end()

    later = start_prefork_worker(tmp_path)
    later.end()

    assert list((tmp_path / "metrics").iterdir()) == [later.directory]


def test_the_metrics_of_a_worker_that_lives_stay(tmp_path: Path) -> None:
    living = start_prefork_worker(tmp_path)
    later = start_prefork_worker(tmp_path)

    found = set((tmp_path / "metrics").iterdir())

    living.end()
    later.end()
    assert found == {living.directory, later.directory}


@pytest.fixture
def metrics_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until its input ends."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process
    process.communicate(timeout=60)


def test_gauges_of_processes_that_live_stay(
    metrics_directory: Path, child: subprocess.Popen[bytes]
) -> None:
    living = {f"gauge_livesum_{pid}.db" for pid in (os.getpid(), child.pid)}
    for name in living:
        (metrics_directory / name).touch()

    forget_lost_processes()

    assert {path.name for path in metrics_directory.iterdir()} == living


def test_of_a_process_that_was_killed_the_counts_stay_and_the_gauges_go(
    metrics_directory: Path, child: subprocess.Popen[bytes]
) -> None:
    for kind in ("gauge_livesum", "counter", "histogram"):
        (metrics_directory / f"{kind}_{child.pid}.db").touch()
    child.kill()
    child.wait(60)

    forget_lost_processes()

    found = {path.name for path in metrics_directory.iterdir()}
    assert found == {f"counter_{child.pid}.db", f"histogram_{child.pid}.db"}


def test_gauges_of_a_process_that_its_pool_has_not_buried_yet_go(
    metrics_directory: Path, child: subprocess.Popen[bytes]
) -> None:
    gauge = metrics_directory / f"gauge_livesum_{child.pid}.db"
    gauge.touch()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    forget_lost_processes()

    assert not gauge.exists()
