"""A worker does all of its work with the rights that are printed for it, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from db.catalog.dryruns import existing_workspace
from db.schema.enums import JobStatus, Stage, Transition
from tests.harness.cluster import Cluster
from tests.harness.rights import database_user, redis_user
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from worker.planning import enqueue_dry_run

pytestmark = pytest.mark.timeout(180)

DAYS = 1e-6
"""What is kept for less than a tenth of a second is pruned at once."""


def start(cluster: Cluster, name: str, *, host: str = "host", **settings: object) -> Worker:
    """Start a worker that connects with exactly the printed rights."""
    given: dict[str, Any] = settings
    database_url = database_user(cluster.database, cluster.database_url, "worker")
    redis_url = redis_user(cluster.redis.url, "worker")
    return cluster.start_worker(
        name, host=host, database_url=database_url, redis_url=redis_url, **given
    )


@pytest.fixture(scope="module", params=["threads", "prefork"])
def worker(shared: Cluster, request: pytest.FixtureRequest) -> Worker:
    return start(shared, request.param, pool=request.param)


def test_it_runs_a_build_of_each_transition(shared: Cluster, worker: Worker) -> None:
    workspace_id = shared.workspace("machine")
    statuses = [shared.build(workspace_id, transition)["status"] for transition in Transition]
    assert statuses == [JobStatus.SUCCEEDED] * len(Transition)
    assert "permission" not in worker.said()


def test_it_plans_a_dry_run_that_makes_nothing(shared: Cluster, worker: Worker) -> None:
    workspace_id, before = shared.workspace("machine"), shared.machines()
    with shared.database.begin() as session:
        workspace = existing_workspace(session, workspace_id)
        job_id = enqueue_dry_run(session, workspace, ring=shared.ring).job_id
    wait_until(lambda: not shared.factory.status(job_id).is_active, "the end of the dry run")
    assert shared.factory.status(job_id) is JobStatus.SUCCEEDED
    assert shared.machines() == before
    assert "permission" not in worker.said()


def test_it_cancels_a_build_in_apply(shared: Cluster, worker: Worker) -> None:
    assert shared.cancel_in_apply() is JobStatus.CANCELED


def test_it_recovers_reaps_and_prunes_what_a_killed_worker_left(cluster: Cluster) -> None:
    doomed = start(cluster, "doomed")
    workspace_id = cluster.workspace("slow", create_seconds=60)
    lost = cluster.enqueue(workspace_id)
    cluster.wait_for_machine(workspace_id)
    early = cluster.enqueue(cluster.workspace("plain", tags={"kind": "nobody"}))
    doomed.kill()
    with cluster.database.begin() as session:  # the worker that is longest alive prunes
        session.execute(text("UPDATE provisioner_daemons SET last_seen_at = '-infinity'"))

    saviour = start(
        cluster, "saviour", pending_limit_seconds=1, prune_hours=0.0005,
        retain_logs_days=DAYS, retain_states_days=DAYS, retain_jobs_days=DAYS,
    )  # fmt: skip

    assert cluster.finish(lost, early) == [JobStatus.FAILED] * 2
    assert cluster.machines() == cluster.known_machines()
    deleted = cluster.build(workspace_id, Transition.DELETE)
    assert deleted["status"] == JobStatus.SUCCEEDED
    wait_until(lambda: rows_of(cluster, lost) == 0, "the pruning of the lost build")
    assert "permission" not in saviour.said()


def test_it_puts_the_build_of_a_lost_worker_back(cluster: Cluster) -> None:
    terraform = cluster.moody_terraform()
    doomed = start(cluster, "doomed", terraform_binary=terraform.path)
    with terraform.hanging("plan"):
        job_id = cluster.enqueue(cluster.workspace("plain"))
        cluster.wait_for_stage(job_id, Stage.PLAN)
    doomed.kill(with_terraform=True)
    start(cluster, "saviour", host="other")
    assert cluster.finish(job_id) == [JobStatus.SUCCEEDED]


@pytest.mark.parametrize("without", ["+brpop", "+hset"])
def test_it_says_in_one_sentence_which_redis_right_is_missing(
    cluster: Cluster, without: str
) -> None:
    url = redis_user(cluster.redis.url, "worker", without=without)
    worker = cluster.start_worker("refused", wait=False, redis_url=url)
    wait_until(worker.has_ended, "the end of the worker")
    (line,) = errors_of(worker)
    assert f"the user of PROVISIONERD_REDIS_URL may not run {without[1:].upper()}" in line


def test_it_says_in_one_sentence_which_database_right_is_missing(cluster: Cluster) -> None:
    url = database_user(cluster.database, cluster.database_url, "worker")
    with cluster.database.begin() as session:
        session.execute(text("REVOKE INSERT ON provisioner_job_logs FROM provisionerd_worker"))
    worker = cluster.start_worker("refused", wait=False, database_url=url)
    wait_until(worker.has_ended, "the end of the worker")
    (line,) = errors_of(worker)
    assert "lacks INSERT on provisioner_job_logs" in line


def errors_of(worker: Worker) -> list[str]:
    """What the worker said, without what Celery says of a user that is root."""
    said = worker.said()
    assert "Traceback" not in said
    return [line for line in said.splitlines() if line.startswith("Error: ")]


def rows_of(cluster: Cluster, job_id: object) -> int:
    with cluster.database.begin() as session:
        query = text("SELECT count(*) FROM provisioner_jobs WHERE id = :id")
        return int(session.execute(query, {"id": job_id}).scalar_one())
