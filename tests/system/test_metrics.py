"""What workers of both pools serve at /metrics agrees with the rows, over two lives of a worker."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from db.schema.enums import Stage
from tests.harness.cluster import TIMES, Cluster
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from worker.process.children import free_address

pytestmark = pytest.mark.timeout(180)

FAILURES = "provisionerd_job_failures_total"
BUILDS = "provisionerd_workspace_builds_total"
CLOUD_ERROR = "Error creating instance: insufficient quota in us-east1"
DEAR = {"plan": {"daily_cost": 2_000_000}}  # above what the cluster allows anybody
LACKS_PARAMETER = "lacks a parameter that no import has found"
MIX: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("succeeds", {}),
    ("succeeds", {}),
    ("is refused by quota", DEAR),
    ("is refused by quota", DEAR),
    (LACKS_PARAMETER, {"parse": {"parameters": [{"name": "size", "required": True}]}}),
    ("lacks a variable", {"parse": {"variables": [{"name": "region", "required": True}]}}),
    ("fails in plan for a cloud's quota", {"plan": {"error": CLOUD_ERROR}}),
    ("fails in apply for a cloud's quota", {"apply": {"error": CLOUD_ERROR}}),
)
FAILED_IN_ONE_LIFE = {
    ("INSUFFICIENT_QUOTA", "quota"): 2,
    ("MISSING_TEMPLATE_PARAMETER", "parameters"): 1,
    ("REQUIRED_TEMPLATE_VARIABLES", "parameters"): 1,
    ("none", "terraform"): 2,
    ("none", "pending_limit"): 1,
}
ENDED_IN_ONE_LIFE = {"succeeded": 2, "failed": 7, "canceled": 1}


@dataclass(kw_only=True)
class Life:
    """What one worker process ran and served."""

    first: str  #: its first scrape
    last: str  #: the one after all of its builds
    jobs: list[uuid.UUID]
    answers: Mapping[str, tuple[int, str]]  #: status and text, by path
    answers_in_drain: Mapping[str, tuple[int, str]]


@dataclass(kw_only=True)
class Story:
    """Two lives of a worker, one after the other."""

    cluster: Cluster
    lives: list[Life] = field(default_factory=list)

    @property
    def jobs(self) -> list[uuid.UUID]:
        return [job_id for life in self.lives for job_id in life.jobs]


@pytest.fixture(scope="module", params=["threads", "prefork"])
def story(shared: Cluster, request: pytest.FixtureRequest) -> Story:
    """Let a worker run the mix, end it, and do the same again with another of its name."""
    told = Story(cluster=shared)
    for _ in range(2):
        worker = start(shared, pool=request.param)
        told.lives.append(live(shared, worker))
        wait_until(worker.has_ended, "the worker's end")
    return told


def start(cluster: Cluster, *, pool: str) -> Worker:
    """Start a worker as operators do."""
    name = f"metrics-{pool}"
    settings = {
        **TIMES,
        "DATABASE_URL": cluster.database_url,
        "REDIS_URL": cluster.redis.url,
        "DATA_DIR": str(cluster.directory / "data"),
        "WORK_DIR": str(cluster.directory / "host"),
        "METRICS_ADDRESS": free_address(),
        "ENGINES": "echo",
    }
    command = (sys.executable, "-m", "cli.main", "worker")
    worker = cluster.launch(
        name, [*command, "--pool", pool, "--concurrency", "4", "--name", name], settings
    )
    wait_until(worker.is_ready, f"worker {name} to become ready")
    return worker


def live(cluster: Cluster, worker: Worker) -> Life:
    """Run the mix on the worker, then drain it while its last build waits."""
    first = scrape(worker)
    # What an import has found is asked for when a build is enqueued.
    jobs = [enqueue(cluster, script, is_imported=what != LACKS_PARAMETER) for what, script in MIX]
    jobs.append(enqueue_overdue(cluster))
    jobs.append(enqueue_canceled(cluster))
    cluster.finish(*jobs)
    wait_until(
        lambda: sum(ended(scrape(worker)).values()) >= len(jobs),
        "the last build to be counted",
        within_s=10,
    )
    last = scrape(worker)
    answers = {path: get(worker, path) for path in ("/healthz", "/readyz", "/")}
    return Life(
        first=first, last=last, jobs=jobs, answers=answers, answers_in_drain=drain(cluster, worker)
    )


def drain(cluster: Cluster, worker: Worker) -> Mapping[str, tuple[int, str]]:
    waiting = enqueue(cluster, {"apply": {"wait": True}})
    cluster.wait_for_stage(waiting, Stage.APPLY)
    worker.send(signal.SIGTERM)
    wait_until(lambda: get(worker, "/readyz")[0] != 200, "the worker to drain")
    answers = {path: get(worker, path) for path in ("/healthz", "/readyz")}
    cluster.cancel(waiting)
    cluster.finish(waiting)
    return answers


def enqueue(
    cluster: Cluster,
    script: Mapping[str, Any],
    *,
    is_imported: bool = True,
    tags: Mapping[str, str] | None = None,
) -> uuid.UUID:
    template = cluster.factory.template(
        organization=cluster.organization, created_by=cluster.owner, script=script, tags=tags
    )
    if not is_imported:
        cluster.factory.forget_import(template.id)
    workspace = cluster.factory.workspace(owner=cluster.owner, template=template)
    return cluster.enqueue(workspace.id)


def enqueue_overdue(cluster: Cluster) -> uuid.UUID:
    """Enqueue a build that no worker serves, years ago."""
    job_id = enqueue(cluster, {}, tags={"served": "by-nobody"})
    with cluster.database.begin() as session:
        session.execute(
            text("""
                UPDATE provisioner_jobs SET created_at = '2020-01-01', updated_at = '2020-01-01'
                WHERE id = :id
            """),
            {"id": job_id},
        )
    return job_id


def enqueue_canceled(cluster: Cluster) -> uuid.UUID:
    job_id = enqueue(cluster, {"apply": {"wait": True}})
    cluster.wait_for_stage(job_id, Stage.APPLY)
    cluster.cancel(job_id)
    return job_id


def get(worker: Worker, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{worker.address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def scrape(worker: Worker) -> str:
    status, said = get(worker, "/metrics")
    assert status == 200
    return said


def values(scraped: str, name: str) -> list[tuple[dict[str, str], int]]:
    return [
        (sample.labels, int(sample.value))
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
        if sample.name == name
    ]


def failed(scraped: str) -> Counter[tuple[str, str]]:
    """Failures by error code and reason, without those that stand at 0."""
    found: Counter[tuple[str, str]] = Counter()
    for labels, value in values(scraped, FAILURES):
        found[labels["error_code"], labels["reason"]] += value
    return +found


def ended(scraped: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for labels, value in values(scraped, BUILDS):
        found[labels["status"]] += value
    return +found


def failed_rows(cluster: Cluster, jobs: list[uuid.UUID]) -> dict[tuple[str, str], int]:
    with cluster.database.begin() as session:
        rows = session.execute(
            text("""
                SELECT coalesce(error_code, 'none'), failure_reason, count(*)
                FROM provisioner_jobs
                WHERE id = ANY(:jobs) AND job_status = 'failed'
                GROUP BY 1, 2
            """),
            {"jobs": jobs},
        )
        return {(code, reason): count for code, reason, count in rows}


def test_the_first_scrape_shows_every_error_code_at_0(story: Story) -> None:
    for life in story.lives:
        codes = {labels["error_code"] for labels, _ in values(life.first, FAILURES)}
        assert codes == {"none", *(code for code, _ in FAILED_IN_ONE_LIFE)}
        assert failed(life.first) == {}


def test_each_life_counts_each_of_its_failures_once(story: Story) -> None:
    assert [failed(life.last) for life in story.lives] == [FAILED_IN_ONE_LIFE] * 2


def test_both_lives_together_count_what_the_rows_say(story: Story) -> None:
    counted = sum((failed(life.last) for life in story.lives), Counter[tuple[str, str]]())

    assert counted == failed_rows(story.cluster, story.jobs)


def test_every_finished_build_is_counted_once_by_status(story: Story) -> None:
    assert [ended(life.last) for life in story.lives] == [ENDED_IN_ONE_LIFE] * 2


def test_nothing_runs_after_the_last_build(story: Story) -> None:
    running = values(story.lives[0].last, "provisionerd_jobs_current")

    assert [value for _, value in running] == [0] * len(running)
    assert running


def test_no_series_names_a_user_a_workspace_or_a_job(story: Story) -> None:
    with story.cluster.database.begin() as session:
        names = session.scalars(
            text("""
                SELECT name FROM workspaces
                UNION ALL SELECT id::text FROM workspaces
                UNION ALL SELECT id::text FROM provisioner_jobs
                UNION ALL SELECT id::text FROM users
                UNION ALL SELECT username FROM users
            """)
        ).all()
    values = {
        value
        for family in text_string_to_metric_families(story.lives[1].last)
        for sample in family.samples
        for value in sample.labels.values()
    }

    assert len(names) > len(story.jobs)
    assert values & set(names) == set()


def test_no_series_is_of_one_process(story: Story) -> None:
    assert 'pid="' not in story.lives[1].last


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
def test_promtool_finds_nothing_wrong_with_a_scrape(story: Story) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=story.lives[0].last,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_worker_that_takes_builds_is_ready(story: Story) -> None:
    answers = story.lives[0].answers

    assert answers["/healthz"] == (200, "ok\n")
    assert answers["/readyz"] == (200, "ok\n")


def test_a_worker_that_drains_is_healthy_but_not_ready(story: Story) -> None:
    answers = story.lives[0].answers_in_drain

    assert answers["/healthz"] == (200, "ok\n")
    assert answers["/readyz"] == (503, "draining\n")


def test_what_is_not_served_names_what_is(story: Story) -> None:
    assert story.lives[0].answers["/"] == (404, "see /metrics, /healthz, /readyz\n")
