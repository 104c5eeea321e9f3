"""``provisionerd up``: PostgreSQL, Redis and a worker in one process tree."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import click
from rich.console import Console

from worker.process.children import stop_worker
from worker.process.services import locate_terraform, open_services
from worker.settings import Settings, load_settings

FIRST_RESTART_S = 1.0
LAST_RESTART_S = 30.0
WORKER = (sys.executable, "-m", "cli.main", "worker")
"""The command of the worker process. It prepares, and then becomes Celery's worker by exec."""


@click.command()
def up() -> None:
    r"""Run PostgreSQL, Redis and a worker together, until Ctrl+C.

    PostgreSQL and Redis are started in PROVISIONERD_DATA_DIR unless their URLs
    are set. Meanwhile the other commands work in any terminal with the same
    settings. A worker that dies is started again.

    \b
    Example:
        provisionerd up
        # in a second terminal:
        provisionerd user create alice
        provisionerd template push deploy/templates/parameterised --name box
        provisionerd workspace create dev --template box --owner alice --param region=eu
    """
    settings = load_settings()
    console = Console(stderr=True, highlight=False)
    terraform = locate_terraform(settings)
    with open_services(settings) as services:
        console.print(f"PostgreSQL  {_shown(services.database_url)}", markup=False)
        console.print(f"Redis       {_shown(services.redis_url)}", markup=False)
        console.print(f"Terraform   {terraform}", markup=False)
        if settings.metrics_address:
            console.print(f"Metrics     http://{settings.metrics_address}/metrics", markup=False)
        stopping = _stop_on_signal()
        status = _supervise(settings, console, stopping)
    sys.exit(status)


def _stop_on_signal() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _supervise(settings: Settings, console: Console, stopping: threading.Event) -> int:
    """Keep one worker running until a signal; return the exit status of the command."""
    pause_s = FIRST_RESTART_S
    while not stopping.is_set():
        process = subprocess.Popen(WORKER, start_new_session=True)
        console.print(f"Worker      {settings.worker_name}, {settings.concurrency} builds at once")
        status = _wait(process, stopping)
        if status is None:
            console.print("Stopping: running builds may finish; Ctrl+C again interrupts them.")
            return _drain(process, settings, stopping)
        if status == 1:
            # It has printed why it cannot work; another attempt would fail too.
            return 1
        console.print(f"The worker ended with status {status}; starting another.")
        stopping.wait(pause_s)
        pause_s = min(pause_s * 2, LAST_RESTART_S)
    return 0


def _wait(process: subprocess.Popen[bytes], stopping: threading.Event) -> int | None:
    """Wait for the end of the worker or for a signal; return the status, None after a signal."""
    while process.poll() is None and not stopping.wait(0.2):
        pass
    return process.poll()


def _drain(process: subprocess.Popen[bytes], settings: Settings, stopping: threading.Event) -> int:
    stopping.clear()
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        if stopping.wait(0.2):
            stop_worker(process, within_s=settings.interrupt_grace_seconds)
    return 0


def _shown(url: str) -> str:
    """Return the URL without its password."""
    head, at, tail = url.rpartition("@")
    user, _, _password = head.rpartition(":") if head.count(":") > 1 else (head, "", "")
    return f"{user}{at}{tail}"
