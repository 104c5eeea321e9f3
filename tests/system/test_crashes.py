"""Workers and Terraform killed at every named point of real builds: nothing is lost.

The victims of one table die at the same time, each at its own point, and one more worker on the
same host (or, where the host is lost, on another) then brings everything to its end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from db.schema.enums import FailureReason, JobStatus, Transition
from tests.harness.cluster import REPOSITORY, Cluster
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker

pytestmark = pytest.mark.timeout(300)

NOT_CLAIMED = ("claim.begin",)
BEFORE_APPLY = (
    "claim.committed",
    *(
        f"{stage}.{edge}"
        for stage in ("set_up", "init", "plan", "commit_quota")
        for edge in ("begin", "end")
    ),
)
CHECKPOINTS = ("checkpoint.begin", "checkpoint.committed")
IN_APPLY = ("apply.begin", *CHECKPOINTS, "apply.end", "finish.begin")
AFTERWARDS = ("finish.committed",)
KINDS: Mapping[str, Mapping[str, str] | None] = {
    # A machine's provider takes seconds to start: only where there is something to lose.
    "plain": None,
    "machine": {"kind": "machine"},
    "slow": {"kind": "slow"},
}
"""The templates of the victims' builds, and the tags of their workers."""
WITHOUT_DIRECTORY = ("claim.committed", "set_up.begin", "set_up.end", "init.begin")
"""Only the end of the lease tells that the worker is gone."""
POINTS = (*NOT_CLAIMED, *BEFORE_APPLY, *IN_APPLY, *AFTERWARDS)


@dataclass(frozen=True, kw_only=True)
class Crash:
    """A build whose worker was killed, after everything has come to its end."""

    row: Mapping[str, Any]
    made: Mapping[str, str]  #: names of machines in the cloud, by id
    known: set[str]  #: machines in the stored state
    next: Mapping[str, Any]  #: the delete build after it


@pytest.fixture(scope="module")
def crashes(shared: Cluster) -> Mapping[str, Crash]:
    """One crash for each point, all at once."""
    victims = {point: _start_victim(shared, point) for point in POINTS}
    for victim in victims.values():
        wait_until(victim.is_ready, f"{victim.name} to become ready")
    jobs = {
        point: job
        for kind in KINDS
        for point, job in _claimed(shared, kind, [p for p in POINTS if _kind(p) == kind]).items()
    }
    for victim in victims.values():
        wait_until(victim.has_ended, f"the end of {victim.name}")
    for kind in KINDS:
        shared.start_worker(f"rescuer-{kind}", host="crashes", wait=False, tags=_tags(kind))
    shared.finish(*jobs.values(), within_s=90)
    shared.settle()
    return _told(shared, jobs)


def _kind(point: str) -> str:
    if point in CHECKPOINTS:
        return "slow"
    return "plain" if point in (*NOT_CLAIMED, *BEFORE_APPLY) else "machine"


def _tags(kind: str) -> str:
    return ",".join(f"{key}={value}" for key, value in (KINDS[kind] or {}).items())


def _start_victim(cluster: Cluster, point: str) -> Worker:
    needs_lease = point in WITHOUT_DIRECTORY
    return cluster.start_worker(
        point,
        wait=False,
        concurrency=1,
        faults=f"{point}=kill",
        host="alone" if needs_lease else "crashes",
        tags=_tags(_kind(point)),
        # They are not to repair what the others leave.
        lease_seconds=8 if needs_lease else 240,
        sweep_seconds=4 if needs_lease else 120,
    )


def _claimed(cluster: Cluster, kind: str, points: Sequence[str]) -> Mapping[str, uuid.UUID]:
    """Enqueue a build for each of the points and return whose it was."""
    variables: dict[str, Any] = {"create_seconds": 2} if kind == "slow" else {}
    jobs = {cluster.enqueue(cluster.workspace(kind, tags=KINDS[kind], **variables)) for _ in points}
    claimed: dict[str, uuid.UUID] = {}
    late = [point for point in points if point in NOT_CLAIMED]

    def all_claimed() -> bool:
        with cluster.database.begin() as session:
            rows = session.execute(
                text("""
                    SELECT worker.name, job.id
                    FROM provisioner_jobs AS job
                    JOIN provisioner_daemons AS worker ON worker.id = job.worker_id
                """)
            )
            claimed.update({name: job for name, job in rows if job in jobs})
        return len(claimed) == len(points) - len(late)

    wait_until(all_claimed, "each victim to claim a job")
    return {**claimed, **dict(zip(late, jobs - set(claimed.values()), strict=True))}


def _told(cluster: Cluster, jobs: Mapping[str, uuid.UUID]) -> Mapping[str, Crash]:
    rows = {point: cluster.row(job) for point, job in jobs.items()}
    spaces = {point: row["workspace"] for point, row in rows.items()}
    machines = {
        point: (cluster.machine_names(space), cluster.known_machines(space))
        for point, space in spaces.items()
    }
    deletes = {point: cluster.enqueue(space, Transition.DELETE) for point, space in spaces.items()}
    cluster.finish(*deletes.values(), within_s=90)
    return {
        point: Crash(
            row=row,
            made=machines[point][0],
            known=machines[point][1],
            next=cluster.row(deletes[point]),
        )
        for point, row in rows.items()
    }


@pytest.mark.parametrize("point", [*NOT_CLAIMED, *BEFORE_APPLY])
def test_a_build_whose_worker_died_before_apply_runs_again(
    crashes: Mapping[str, Crash], point: str
) -> None:
    assert crashes[point].row["status"] == JobStatus.SUCCEEDED, crashes[point].row["error"]


@pytest.mark.parametrize("point", BEFORE_APPLY)
def test_running_again_takes_one_more_attempt(crashes: Mapping[str, Crash], point: str) -> None:
    assert crashes[point].row["attempt"] == 2


@pytest.mark.parametrize("point", IN_APPLY)
def test_a_build_whose_worker_died_in_apply_is_closed_as_failed(
    crashes: Mapping[str, Crash], point: str
) -> None:
    row = crashes[point].row
    assert (row["status"], row["failure_reason"], row["error_code"]) == (
        JobStatus.FAILED,
        FailureReason.WORKER_LOST,
        None,
    )


def test_a_build_whose_ending_was_committed_stays_as_it_ended(
    crashes: Mapping[str, Crash],
) -> None:
    row = crashes["finish.committed"].row
    assert (row["status"], row["attempt"]) == (JobStatus.SUCCEEDED, 1)


@pytest.mark.parametrize("point", POINTS)
def test_every_machine_stands_in_the_stored_state(crashes: Mapping[str, Crash], point: str) -> None:
    assert set(crashes[point].made) == crashes[point].known


@pytest.mark.parametrize("point", POINTS)
def test_no_machine_is_made_twice(crashes: Mapping[str, Crash], point: str) -> None:
    names = crashes[point].made.values()
    assert len(names) == len(set(names))


@pytest.mark.parametrize("point", POINTS)
def test_the_next_build_needs_no_help(crashes: Mapping[str, Crash], point: str) -> None:
    assert crashes[point].next["status"] == JobStatus.SUCCEEDED, crashes[point].next["error"]


@pytest.mark.parametrize("point", [*BEFORE_APPLY, *IN_APPLY])
def test_a_build_that_was_interrupted_is_charged_once(
    crashes: Mapping[str, Crash], point: str
) -> None:
    assert crashes[point].row["daily_cost"] == (3 if _kind(point) == "slow" else 4)


def test_nothing_is_left_after_all_crashes(crashes: Mapping[str, Crash], shared: Cluster) -> None:
    left = {space: shared.machines(space) for space in _workspaces(crashes)}
    assert (shared.remains(), {space for space, found in left.items() if found}) == ({}, set())


def _workspaces(crashes: Mapping[str, Crash]) -> list[uuid.UUID]:
    return [crash.row["workspace"] for crash in crashes.values()]


def test_a_build_whose_caller_died_after_its_commit_runs(
    crashes: Mapping[str, Crash], shared: Cluster
) -> None:
    workspace = shared.workspace()
    code = (
        "import os, uuid; from db.engine import open_database;"
        "from worker.enqueue import enqueue_build; from db.enums import Transition\n"
        "with open_database(os.environ['URL']).begin() as session:\n"
        "    enqueue_build(session, workspace_id=uuid.UUID(os.environ['WORKSPACE']),"
        " transition=Transition.START, ring=lambda queue: True)\n"
    )
    caller = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=REPOSITORY,
        env={
            **os.environ,
            "URL": shared.database_url,
            "WORKSPACE": str(workspace),
            "PROVISIONERD_FAULTS": "enqueue.committed=kill",
        },
    )

    assert caller.returncode == -signal.SIGKILL
    wait_until(lambda: shared.machines(workspace), "the build to run")


# Kills at places where Terraform is at work: held up there by a program in its place.


@dataclass(frozen=True, kw_only=True)
class Held:
    """A build that Terraform works on."""

    job_id: uuid.UUID
    workspace_id: uuid.UUID
    worker: Worker


def _hold(cluster: Cluster, command: str, *, host: str) -> Held:
    """Start a build and return when its Terraform is in the middle of ``command``."""
    terraform = cluster.moody_terraform(f"terraform-{host}")
    worker = cluster.start_worker(
        host, host=host, terraform_binary=terraform.path, concurrency=1, tags=f"kind={host}"
    )
    tags = {"kind": host}
    if command == "apply":
        workspace_id = cluster.workspace("slow", tags=tags, create_seconds=60)
        job_id = cluster.enqueue(workspace_id)
        cluster.wait_for_machine(workspace_id)
        return Held(job_id=job_id, workspace_id=workspace_id, worker=worker)
    workspace_id = cluster.workspace("plain", tags=tags)
    with terraform.hanging(command):
        job_id = cluster.enqueue(workspace_id)
        terraform.wait()
    return Held(job_id=job_id, workspace_id=workspace_id, worker=worker)


def _kill_both(held: Held) -> None:
    held.worker.kill(with_terraform=True)


def _kill_worker(held: Held) -> None:
    held.worker.kill()


def _kill_terraform(held: Held) -> None:
    for process in held.worker.terraforms():
        process.kill()


def _kill_launcher(held: Held) -> None:
    (process,) = held.worker.launchers()
    process.kill()


Kill = Callable[[Held], None]

RUNS_AGAIN = (JobStatus.SUCCEEDED, None)
IS_LOST = (JobStatus.FAILED, FailureReason.WORKER_LOST)
HAS_FAILED = (JobStatus.FAILED, FailureReason.TERRAFORM)

HELD = [
    pytest.param("init", _kill_both, RUNS_AGAIN, id="worker and Terraform in init"),
    pytest.param("plan", _kill_both, RUNS_AGAIN, id="worker and Terraform in plan"),
    pytest.param("plan", _kill_worker, RUNS_AGAIN, id="worker alone in plan"),
    pytest.param("apply", _kill_both, IS_LOST, id="worker and Terraform in apply"),
    pytest.param("apply", _kill_worker, IS_LOST, id="worker alone in apply"),
    pytest.param("init", _kill_terraform, HAS_FAILED, id="Terraform alone in init"),
    pytest.param("apply", _kill_terraform, HAS_FAILED, id="Terraform alone in apply"),
    pytest.param("init", _kill_launcher, HAS_FAILED, id="launcher alone in init"),
    pytest.param("apply", _kill_launcher, HAS_FAILED, id="launcher alone in apply"),
]


@pytest.mark.parametrize(("command", "kill", "expected"), HELD)
def test_a_kill_while_terraform_works_needs_no_help(
    shared: Cluster,
    command: str,
    kill: Kill,
    expected: tuple[JobStatus, FailureReason | None],
) -> None:
    held = _hold(shared, command, host=f"held-{uuid.uuid4().hex[:6]}")
    kill(held)
    if expected != HAS_FAILED:  # else the worker lives
        shared.start_worker(
            f"rescuer-{held.worker.name}",
            host=held.worker.work_dir.name,
            tags=f"kind={held.worker.name}",
        )

    shared.finish(held.job_id)

    row = shared.row(held.job_id)
    assert (row["status"], row["failure_reason"]) == expected
    shared.settle()


def test_what_terraform_made_before_its_end_stands_in_the_stored_state(shared: Cluster) -> None:
    held = _hold(shared, "apply", host="made")
    made = shared.machines(held.workspace_id)
    held.worker.kill()
    shared.start_worker("rescuer-of-made", host="made", tags="kind=made")

    shared.finish(held.job_id)

    # Interrupted, Terraform wrote down the machines that were still on their way, too.
    shared.settle()
    assert made <= shared.machines(held.workspace_id) == shared.known_machines(held.workspace_id)


def test_a_build_that_kills_every_worker_is_given_up(shared: Cluster) -> None:
    job_id = shared.enqueue(shared.workspace("plain", tags={"kind": "poison"}))
    for _ in range(3):
        victim = shared.start_worker(
            "poisoned", wait=False, host="poison", tags="kind=poison", faults="set_up.end=kill"
        )
        wait_until(victim.has_ended, "the end of the worker")
    shared.start_worker("survivor", host="poison", tags="kind=poison")

    shared.finish(job_id)

    row = shared.row(job_id)
    assert (row["attempt"], row["failure_reason"]) == (3, FailureReason.POISON)


def test_a_build_whose_host_is_lost_in_plan_runs_on_another(shared: Cluster) -> None:
    held = _hold(shared, "plan", host="lost")
    held.worker.kill(with_terraform=True)
    shared.start_worker("elsewhere", host="elsewhere", tags="kind=lost")

    shared.finish(held.job_id)

    assert shared.status(held.job_id) == JobStatus.SUCCEEDED


def test_a_build_whose_host_is_lost_in_apply_keeps_its_last_checkpoint(shared: Cluster) -> None:
    held = _hold(shared, "apply", host="gone")
    known = shared.known_machines(held.workspace_id)
    held.worker.kill(with_terraform=True)
    shared.start_worker("elsewhere-too", host="elsewhere", tags="kind=gone")

    shared.finish(held.job_id)

    assert known <= shared.known_machines(held.workspace_id)
