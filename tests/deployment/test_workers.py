"""What happens to builds in apply when a deployed worker is killed, and when it is stopped."""

from __future__ import annotations

import uuid

import pytest

from db.schema.enums import JobStatus, Stage, Transition
from tests.deployment.hosts import Host, kill_worker, strays
from tests.deployment.root import CLOUD
from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until

MACHINES = 5
STOP_S = 8
"""How long the provider takes to answer an interrupt; longer than systemd takes to restart."""

# The first one makes a Debian root and builds the image.
pytestmark = pytest.mark.timeout(1500)


def interrupted_by_a_kill(host: Host, cluster: Cluster) -> tuple[uuid.UUID, uuid.UUID]:
    """Kill the worker in an apply and wait until that build is closed; return job, workspace."""
    workspace_id = cluster.workspace(
        "slow", ledger_dir=CLOUD, create_seconds=600, stop_seconds=STOP_S
    )
    job_id = cluster.enqueue(workspace_id)
    wait_until(lambda: has_all_machines(cluster, job_id, workspace_id), "machines in the cloud")
    kill_worker(host)
    cluster.finish(job_id)
    return job_id, workspace_id


def has_all_machines(cluster: Cluster, job_id: uuid.UUID, workspace_id: uuid.UUID) -> bool:
    row = cluster.row(job_id)
    assert row["completed_at"] is None, f"{row['error']}\n{cluster.log_of(job_id)}"
    return len(cluster.machines(workspace_id)) == MACHINES


def test_every_machine_of_a_killed_worker_is_known(host: Host, cluster: Cluster) -> None:
    _, workspace_id = interrupted_by_a_kill(host, cluster)
    assert cluster.machines(workspace_id) == cluster.known_machines(workspace_id)


def test_after_a_delete_nothing_is_left_of_a_killed_workers_build(
    host: Host, cluster: Cluster
) -> None:
    _, workspace_id = interrupted_by_a_kill(host, cluster)
    deleted = cluster.build(workspace_id, Transition.DELETE)
    assert (deleted["status"], cluster.machines(workspace_id), strays(host)) == (
        JobStatus.SUCCEEDED,
        set(),
        [],
    )


def test_a_worker_that_is_stopped_finishes_what_it_applies(host: Host, cluster: Cluster) -> None:
    workspace_id = cluster.workspace("slow", ledger_dir=CLOUD, create_seconds=6)
    job_id = cluster.enqueue(workspace_id)
    cluster.wait_for_stage(job_id, Stage.APPLY)
    host.stop()
    assert cluster.status(job_id) == JobStatus.SUCCEEDED
