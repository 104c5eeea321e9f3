"""What is known of other processes."""

from __future__ import annotations

import psutil

from tests.harness.waiting import wait_until


def is_gone(pid: int) -> bool:
    """Whether it has ended; whoever inherited it may leave it as a zombie for a moment."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pid: int) -> None:
    """Wait for the end of a process, 20 seconds at most."""
    wait_until(lambda: is_gone(pid), f"the end of process {pid}", within_s=20)
