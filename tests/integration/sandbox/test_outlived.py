"""A command in a sandbox whose launcher was killed ends cleanly, with its worker or without."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from provisioner.host import launcher
from tests.harness.confined import SYSTEM_PYTHON, Job
from tests.harness.programs import PROGRAM
from tests.harness.waiting import wait_until

STARTED = "open('started', 'w').close()\n"


@pytest.fixture
def worker(job: Job) -> Iterator[psutil.Process]:
    """A worker whose command runs."""
    (job.folder / "reserve").touch()
    program = PROGRAM.replace('print("ready"', STARTED + 'print("ready"')
    with job.worker_of(SYSTEM_PYTHON, "-I", "-c", program) as worker:
        wait_until((job.template / "started").exists, "the command to start")
        yield worker


def launcher_of(worker: psutil.Process) -> psutil.Process:
    (found,) = (it for it in worker.children() if it.cmdline()[-1] == launcher.__file__)
    return found


def report_of(job: Job) -> str:
    report = job.template / "report"
    wait_until(report.exists, "the report", within_s=20)
    return report.read_text()


def test_it_hears_one_interrupt_and_can_go_on_writing(job: Job, worker: psutil.Process) -> None:
    doomed = (worker, launcher_of(worker))
    for process in doomed:
        process.suspend()
    for process in doomed:
        process.kill()

    assert report_of(job) == "1"
    assert not (job.folder / "reserve").exists()


def test_it_hears_one_interrupt_although_its_worker_sends_one(
    job: Job, worker: psutil.Process
) -> None:
    launcher_of(worker).kill()

    assert report_of(job) == "1"
