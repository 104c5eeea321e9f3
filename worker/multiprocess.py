"""Metrics of a prefork worker: every process writes files, the parent adds them up.

The client library decides at its import whether it works so, by an environment variable, which
therefore has to stand before the process starts: ``provisionerd worker`` sees to it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def make_metrics_directory(data_dir: Path) -> Path:
    """Make a new, empty directory: files of an earlier worker would be counted again."""
    root = data_dir / "metrics"
    root.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="worker-", dir=root))


def is_multiprocess() -> bool:
    """Return whether this process writes its metrics for a parent to add up."""
    return bool(os.environ.get(DIRECTORY_VARIABLE))


def worker_registry() -> CollectorRegistry:
    """Return the registry that a worker serves, with the series of all of its processes."""
    if not is_multiprocess():
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def forget_lost_processes() -> None:
    """Take out the gauges of processes that ended without saying so, as SIGKILL ends them."""
    if not is_multiprocess():
        return
    for path in Path(os.environ[DIRECTORY_VARIABLE]).glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            forget_process(pid)


def forget_process(pid: int) -> None:
    """Take the gauges of a process that has ended out of the sum; its counts stay."""
    if is_multiprocess():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
