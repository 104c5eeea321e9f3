"""Processes that tests have started and that should have ended with them."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from provisioner.host import launcher
from tests.harness.waiting import NeverHappenedError, wait_until

MARK = "TEST_SESSION"
ENDING_S = 30.0


class LeftRunningError(Exception):
    """Processes of this session are left; the message lists them. They have been killed."""


@contextmanager
def no_process_left(folder: Path) -> Iterator[None]:
    """Fail if a process that was started in the block outlives it.

    Known by a variable that processes inherit or, where they are given another environment, by
    their parent, or by a working directory below ``folder``.
    """
    mark = uuid.uuid4().hex
    before = set(psutil.process_iter())
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(MARK, mark)
        yield

    def left() -> list[psutil.Process]:
        return [process for process in _started(mark, folder) if process not in before]

    try:
        wait_until(lambda: not left(), "the ends of processes", within_s=ENDING_S, tick_s=0.1)
    except NeverHappenedError:
        remaining = left()
        shown = [f"{process.pid} {_described(process)}" for process in remaining]
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        raise LeftRunningError(f"processes are left: {shown}") from None


def _started(mark: str, folder: Path) -> list[psutil.Process]:
    ours = {child.pid for child in psutil.Process().children(recursive=True)}
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid()
        and (process.pid in ours or _is_marked(process, mark) or _is_in(process, folder))
        and not _may_stay(process)
    ]


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def _is_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False


def _may_stay(process: psutil.Process) -> bool:
    """Whether it has ended, or is the launcher of this process, which ends with it."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        is_launcher = process.cmdline()[-1:] == [launcher.__file__]
        return is_launcher and process.ppid() == os.getpid()
    except psutil.NoSuchProcess:
        return True


def _described(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200] or process.name()
    except psutil.Error:
        return "(it has just ended)"
