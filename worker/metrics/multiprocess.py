"""Metrics of a prefork worker: every process writes files, and the parent adds them up.

The client library reads an environment variable at import to decide whether it writes files, so
the variable must be set before the process starts. ``provisionerd worker`` sets it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from provisioner.host.locks import remove_unlocked

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def make_metrics_directory(data_dir: Path) -> Path:
    """Create a new, empty directory: files of an earlier worker would be counted again.

    It belongs to this process, also after ``exec``, until the process and all of its children
    have ended. Directories of workers that have ended are removed.
    """
    root = data_dir / "metrics"
    root.mkdir(parents=True, exist_ok=True)
    starting = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # One process at a time: a directory that is not locked yet looks abandoned.
        fcntl.flock(starting, fcntl.LOCK_EX)
        for abandoned in root.glob("worker-*"):
            remove_unlocked(abandoned)
        made = Path(tempfile.mkdtemp(prefix="worker-", dir=root))
        # Stays open on purpose: the kernel releases the lock when the process ends. A process ID
        # would not identify the worker: it is 1 in every container.
        lock = os.open(made, os.O_RDONLY)
        os.set_inheritable(lock, True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(starting)
    return made


def is_multiprocess() -> bool:
    """Return whether this process writes its metrics to files that a parent adds up."""
    return bool(os.environ.get(DIRECTORY_VARIABLE))


def worker_registry() -> CollectorRegistry:
    """Return the registry that a worker serves, including the series of all of its processes."""
    if not is_multiprocess():
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def forget_lost_processes() -> None:
    """Remove the gauges of processes that ended without cleaning up, such as by SIGKILL."""
    if not is_multiprocess():
        return
    for path in Path(os.environ[DIRECTORY_VARIABLE]).glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not _is_ours(pid):
            forget_process(pid)


def forget_process(pid: int) -> None:
    """Remove the gauges of a process that has ended from the sum; its counters stay."""
    if is_multiprocess():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _is_ours(pid: int) -> bool:
    """Return whether the process is this one or a running child of it."""
    if pid == os.getpid():
        return True
    try:
        # WNOWAIT: the child's exit status must stay for its pool, which waits for it.
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # it has ended, or another process has its ID now
        return False
    return ended is None
