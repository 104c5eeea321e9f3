"""A worker process, and the processes under it."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from provisioner.host import launcher
from provisioner.host.sandbox.processes import line_below
from tests.harness.waiting import DEADLINE_S, NeverHappenedError
from worker.process.children import is_ready


@dataclass(kw_only=True, eq=False)
class Worker:
    """A worker process."""

    name: str
    process: subprocess.Popen[bytes]
    address: str
    log: Path
    work_dir: Path

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise NeverHappenedError(f"{self.name} ended: {self.said()[-2000:]}")
        return is_ready(self.address)

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def terraforms(self) -> list[psutil.Process]:
        """The Terraform processes under this worker, without the providers under them."""
        with suppress(psutil.NoSuchProcess):
            started = [child for launcher in self.launchers() for child in launcher.children()]
            return [child for child in map(_program_of, started) if _is_running(child)]
        return []

    def launchers(self) -> list[psutil.Process]:
        """What starts the Terraforms: one of the worker, in prefork one of each child too."""
        with suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in below if _is_launcher(child) and not _is_guard(child)]
        return []

    def kill(self, *, with_terraform: bool = False) -> None:
        """SIGKILL, at one moment."""
        doomed: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            worker = psutil.Process(self.process.pid)
            worker.suspend()  # so that nothing is started in between
            doomed = worker.children(recursive=True) if with_terraform else []
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait(DEADLINE_S)


def _is_launcher(process: psutil.Process) -> bool:
    return process.cmdline()[-1:] == [launcher.__file__]


def _is_guard(process: psutil.Process) -> bool:
    """Whether it is a fork of a launcher that stands before a sandbox."""
    parent = process.parent()
    return parent is not None and _is_launcher(process) and _is_launcher(parent)


def _program_of(started: psutil.Process) -> psutil.Process:
    """The program that a launcher has started, behind its guard if it is in a sandbox."""
    if not _is_guard(started):
        return started
    line = line_below(started.pid, 3)
    return psutil.Process(line[-1]) if line else started


def _is_running(process: psutil.Process) -> bool:
    try:
        # Of a stopped worker, a Terraform that has ended stays there as a zombie.
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
