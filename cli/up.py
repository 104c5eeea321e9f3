"""``provisionerd up``: PostgreSQL, Redis, a worker and the HTTP API in one process tree."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib.util import find_spec

import click
from rich.console import Console

from db.catalog.people import first_owner
from db.catalog.tokens import create_token
from db.engine import Database
from worker.process.children import stop_worker
from worker.process.opening import open_services
from worker.process.services import locate_terraform
from worker.settings import Settings, load_settings

FIRST_RESTART_S = 1.0
LAST_RESTART_S = 30.0
WORKER = (sys.executable, "-m", "cli.main", "worker")
"""The command of the worker process. It prepares, and then becomes Celery's worker by exec."""
API = (sys.executable, "-m", "cli.main", "serve")
API_STOP_S = 15.0
LINK_LIFETIME = timedelta(hours=1)


@click.command()
def up() -> None:
    r"""Run PostgreSQL, Redis, a worker and the HTTP API together, until Ctrl+C.

    PostgreSQL and Redis are started in PROVISIONERD_DATA_DIR unless their URLs
    are set. Meanwhile the other commands work in any terminal with the same
    settings. A worker that dies is started again. The link to the API logs the
    first owner in once.

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
    with open_services(settings.servers) as services:
        console.print(f"PostgreSQL  {_shown(services.database_url)}", markup=False)
        console.print(f"Redis       {_shown(services.redis_url)}", markup=False)
        console.print(f"Terraform   {terraform}", markup=False)
        if settings.metrics_address:
            console.print(f"Metrics     http://{settings.metrics_address}/metrics", markup=False)
        stopping = _stop_on_signal()
        with _serving_api(settings, services.database, console):
            status = _supervise(settings, console, stopping)
    sys.exit(status)


@contextmanager
def _serving_api(settings: Settings, database: Database, console: Console) -> Iterator[None]:
    """Serve the HTTP API in a process of its own, if its packages are installed."""
    if not settings.api_address or find_spec("fastapi") is None:
        yield
        return
    url = f"http://{settings.api_address}/{_login_of_owner(database)}"
    console.print(f"API         {url}", markup=False)
    process = subprocess.Popen(API, start_new_session=True)
    stopping = threading.Event()

    def tell_of_end() -> None:
        status = process.wait()
        if not stopping.is_set():
            console.print(f"The API has ended with status {status}; builds go on without it.")

    threading.Thread(target=tell_of_end, name="api-end", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(API_STOP_S)
        process.kill()
        process.wait()


def _login_of_owner(database: Database) -> str:
    """Return the rest of a link that logs the first owner in once; empty without an owner."""
    with database.begin() as session:
        owner_id = first_owner(session)
        if owner_id is None:
            return ""
        token = create_token(session, user_id=owner_id, name="login link", lifetime=LINK_LIFETIME)
    return f"login?token={token.text}"


def _stop_on_signal() -> threading.Event:
    stopping = threading.Event()
    # SIGHUP: the terminal was closed, and nobody would stop what runs here.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
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
