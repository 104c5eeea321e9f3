"""What a look through the work directories of this host does about the builds that are in them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import structlog.testing

from db.jobs.mover import Mover
from db.jobs.reaper import reap_expired_lease
from db.jobs.results import BuildResult
from db.jobs.statefiles import MAX_STATE_BYTES
from db.jobs.transitions import ClaimedJob
from db.reads.joblog import read_whole_log
from db.schema.enums import JobStatus, Stage
from db.sealing.keyring import Key, Keyring
from provisioner.host import oversized
from provisioner.host.orphans import FOLDER, find_orphaned_states, reseal_orphans
from provisioner.host.recovery import Recovered, Recoverer
from provisioner.host.workdir import (
    STATE_FILE,
    WorkDirectory,
    find_work_directories,
    name_work_directory,
)
from tests.harness.factory import LEASE, Factory, echo_archive
from tests.harness.states import state_file, state_of

OVER = timedelta(seconds=-1)
LASTS = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def recoverer(factory: Factory, tmp_path: Path) -> Recoverer:
    return Recoverer(
        mover=Mover(database=factory.database),
        work_root=tmp_path,
        max_attempts=3,
        lease=LEASE,
        grace=LEASE,
    )


def make_directory(root: Path, job: ClaimedJob) -> WorkDirectory:
    """Return the directory of a build that runs."""
    directory = name_work_directory(root, job.lease, claim=job.claim)
    directory.make(echo_archive())
    return directory


@contextmanager
def terraform_in(directory: WorkDirectory) -> Iterator[subprocess.Popen[bytes]]:
    """Let a process work in the directory, as Terraform does, until the end of the block."""
    with subprocess.Popen(
        LASTS, cwd=directory.template, stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def outcomes(recoverer: Recoverer) -> list[Recovered]:
    return [recovery.outcome for recovery in recoverer.recover()]


def test_a_build_that_runs_is_left_alone(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    job = factory.running_build(stage=Stage.APPLY)
    directory = make_directory(tmp_path, job)
    assert outcomes(recoverer) == [Recovered.BUSY]
    assert factory.status(job.id) is JobStatus.RUNNING
    directory.remove()


def test_a_build_whose_worker_died_in_apply_is_closed(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    job = factory.running_build(stage=Stage.APPLY)
    make_directory(tmp_path, job).release()
    assert outcomes(recoverer) == [Recovered.CLOSED]
    assert factory.status(job.id) is JobStatus.FAILED


def test_the_directory_of_a_build_can_be_taken_by_nobody_else(
    factory: Factory, tmp_path: Path
) -> None:
    directory = make_directory(tmp_path, factory.running_build())
    [found] = find_work_directories(tmp_path)
    assert not found.take()
    directory.remove()


def test_a_build_whose_terraform_outlives_its_worker_keeps_its_lease(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    job = factory.running_build(stage=Stage.APPLY, lease=OVER)
    directory = make_directory(tmp_path, job)
    with terraform_in(directory):
        directory.release()
        assert outcomes(recoverer) == [Recovered.BUSY]
        with factory.database.begin() as session:
            assert reap_expired_lease(session, max_attempts=3) is None


def test_a_terraform_that_outlives_its_worker_may_go_on_within_its_grace(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    directory = make_directory(tmp_path, factory.running_build(stage=Stage.APPLY))
    with terraform_in(directory) as terraform:
        directory.release()
        recoverer.recover()
        assert terraform.poll() is None


def orphaned_state(factory: Factory, root: Path) -> ClaimedJob:
    """Leave a state on disk of a build that was closed before a later one began."""
    workspace = factory.any_workspace()
    job = factory.running_build(workspace, stage=Stage.APPLY, lease=OVER)
    directory = make_directory(root, job)
    (directory.template / STATE_FILE).write_bytes(state_file(6))
    with factory.database.begin() as session:
        reap_expired_lease(session, max_attempts=3)
    factory.finished_build(workspace, result=BuildResult(state=state_of(5)))
    directory.release()
    return job


def test_a_state_that_is_put_aside_can_be_found_on_its_host(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    job = orphaned_state(factory, tmp_path)
    assert outcomes(recoverer) == [Recovered.KEPT]
    [found] = find_orphaned_states(tmp_path)
    assert (found.job_id, found.state) == (job.id, state_of(6))


def test_the_file_of_a_state_that_is_put_aside_is_readable_by_its_owner_alone(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    orphaned_state(factory, tmp_path)
    list(recoverer.recover())
    [found] = find_orphaned_states(tmp_path)
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600


def test_the_log_names_the_command_that_adopts_a_state(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    job = orphaned_state(factory, tmp_path)
    with structlog.testing.capture_logs() as events:
        list(recoverer.recover())
    [orphaned] = [event for event in events if event["event"] == "state.orphaned"]
    assert orphaned["adopt_with"] == f"provisionerd state adopt {job.id}"


def write_oversized(path: Path) -> None:
    """Write a state that is too large to be stored; most of it takes no room."""
    path.write_bytes(state_file(7))
    os.truncate(path, MAX_STATE_BYTES + 1)


def test_a_state_that_is_too_large_to_be_stored_is_kept_for_a_person(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    job = factory.running_build(stage=Stage.APPLY)
    directory = make_directory(tmp_path, job)
    write_oversized(directory.template / STATE_FILE)
    directory.release()
    with structlog.testing.capture_logs() as events:
        assert outcomes(recoverer) == [Recovered.CLOSED]
    [found] = find_orphaned_states(tmp_path)
    assert (found.job_id, found.size, found.state) == (job.id, MAX_STATE_BYTES + 1, None)
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    [kept] = [event for event in events if event["event"] == "state.too_large"]
    assert kept["kept_at"] == str(found.path)


def test_states_that_are_too_large_do_not_fill_the_disk(
    factory: Factory, recoverer: Recoverer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oversized, "MAX_KEPT_BYTES", MAX_STATE_BYTES * 3 // 2)
    for _ in range(2):
        directory = make_directory(tmp_path, factory.running_build(stage=Stage.APPLY))
        write_oversized(directory.template / STATE_FILE)
        directory.release()
    assert outcomes(recoverer) == [Recovered.CLOSED, Recovered.CLOSED]
    assert len(list(find_orphaned_states(tmp_path))) == 1


def test_a_new_key_leaves_a_state_that_is_too_large_as_it_is(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    directory = make_directory(tmp_path, factory.running_build(stage=Stage.APPLY))
    write_oversized(directory.template / STATE_FILE)
    directory.release()
    recoverer.recover()
    assert reseal_orphans(tmp_path, Keyring((Key(b"k" * 32),))) == 0
    [found] = find_orphaned_states(tmp_path)
    assert found.size == MAX_STATE_BYTES + 1


def test_a_state_that_finds_no_room_to_be_put_aside_is_told_of_once(
    factory: Factory, recoverer: Recoverer, tmp_path: Path
) -> None:
    job = orphaned_state(factory, tmp_path)
    blocked = tmp_path / FOLDER
    blocked.touch()
    with structlog.testing.capture_logs() as events:
        tries = [outcomes(recoverer), outcomes(recoverer)]
    assert tries == [[Recovered.FAILED], [Recovered.FAILED]]
    assert [event["event"] for event in events] == ["build.recovery_failed"]
    blocked.unlink()

    assert outcomes(recoverer) == [Recovered.KEPT]
    with factory.database.begin() as session:
        said = [line.output for line in read_whole_log(session, job.id, after=0)]
    assert len([line for line in said if "put aside" in line]) == 1
