"""``provisionerd worker``: one worker process."""

from __future__ import annotations

import os
import sys

import click

from cli.remote.server import needs_database
from worker.metrics.multiprocess import DIRECTORY_VARIABLE, make_metrics_directory
from worker.process.children import worker_command
from worker.process.services import make_directories, make_engines
from worker.settings import Pool, load_settings


@click.command()
@click.option("--concurrency", type=int, help="Number of slots (PROVISIONERD_CONCURRENCY).")
@click.option(
    "--pool",
    type=click.Choice([pool.value for pool in Pool]),
    help="Celery's pool (PROVISIONERD_POOL).",
)
@click.option("--name", help="Unique name of this worker (PROVISIONERD_WORKER_NAME).")
def worker(concurrency: int | None, pool: str | None, name: str | None) -> None:
    r"""Run builds until SIGTERM.

    \b
    The first SIGTERM or Ctrl+C drains: nothing new is claimed, and running
    builds finish. The second one, or the end of PROVISIONERD_DRAIN_SECONDS,
    ends them: before apply they go back to the queue, in apply their state is
    stored.

    This checks the settings, and then runs `celery -A worker.app worker`.

    \b
    Example:
        PROVISIONERD_TAGS=cluster=eu provisionerd worker --concurrency 8
    """
    needs_database()
    given: dict[str, object] = {"concurrency": concurrency, "pool": pool, "worker_name": name}
    overrides = {key: value for key, value in given.items() if value is not None}
    settings = load_settings(os.environ, **overrides)
    # Report missing parts here in one sentence, before Celery takes over the process.
    make_directories(settings)
    make_engines(settings)
    variables = {f"PROVISIONERD_{key.upper()}": str(value) for key, value in overrides.items()}
    os.environ.update(variables)
    if settings.pool is Pool.PREFORK:
        os.environ[DIRECTORY_VARIABLE] = str(make_metrics_directory(settings.data_dir))
    os.execv(sys.executable, worker_command(settings.worker_name))  # noqa: S606
