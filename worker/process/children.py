"""Worker processes as children of another process: for ``up`` and the demo."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from worker.embedded.directory import free_port
from worker.waiting import wait_until


class WorkerStartError(Exception):
    """A worker process did not become ready; the message holds its last output."""


def worker_command(name: str) -> list[str]:
    """Return the command line of a worker process; it reads its settings from the environment."""
    return [
        sys.executable,
        "-m",
        "celery",
        "--app=worker.app",
        "--quiet",
        "worker",
        f"--hostname={name}@%h",
        "--without-gossip",
        "--without-heartbeat",
        "--without-mingle",
        "--loglevel=WARNING",
    ]


def free_address() -> str:
    """Return a loopback HOST:PORT that is not in use now."""
    return f"127.0.0.1:{free_port()}"


@contextmanager
def running_worker(
    environment: Mapping[str, str], *, name: str, log: Path, stop_within_s: float = 60
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker process while the block runs, and drain it at the end.

    Args:
        environment: the whole environment, including ``PROVISIONERD_METRICS_ADDRESS``.
        log: the file for its standard output and standard error.

    Raises:
        WorkerStartError: the worker ended, or did not become ready within 30 seconds.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            worker_command(name),
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(process, environment["PROVISIONERD_METRICS_ADDRESS"], log=log)
        yield process
    finally:
        stop_worker(process, within_s=stop_within_s)


def wait_until_ready(
    process: subprocess.Popen[bytes], address: str, *, log: Path, within_s: float = 30
) -> None:
    """Return when the worker takes builds.

    Raises:
        WorkerStartError: the worker ended, or did not become ready in time.
    """
    in_time = wait_until(lambda: process.poll() is not None or is_ready(address), limit_s=within_s)
    if in_time and process.poll() is None:
        return
    output = log.read_text(errors="replace").strip().splitlines()[-5:] or ["no output"]
    raise WorkerStartError("the worker did not become ready: " + " / ".join(output))


def is_ready(address: str) -> bool:
    """Return whether the worker that serves metrics at ``address`` takes builds."""
    try:
        with urlopen(f"http://{address}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def stop_worker(process: subprocess.Popen[bytes], *, within_s: float) -> None:
    """Drain the worker; after half of the time hurry it, and at the end kill it."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=within_s / 2)
        except subprocess.TimeoutExpired:
            continue
