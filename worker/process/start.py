"""The start of a worker's main process: what it opens and checks, and how it refuses."""

from __future__ import annotations

import os
import platform
import sys
import traceback
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any, TypeVar

import structlog

from db.engine import Database
from db.errors import NotFoundError
from db.jobs.workers import register_worker
from db.schema.enums import ProvisionerType
from provisioner.host.sandbox.port import Sandbox, SandboxKind
from worker.broker.client import BrokerClient
from worker.metrics.multiprocess import is_multiprocess
from worker.metrics.series import Metrics
from worker.process.application import App
from worker.process.drain import DrainFlag
from worker.process.explanation import explain
from worker.process.hardening import make_undumpable
from worker.process.lifecycle import Parent
from worker.process.opening import open_services
from worker.process.rights import check_rights
from worker.process.services import (
    make_directories,
    make_engines,
    provider_needs,
    sandbox_choice,
)
from worker.process.watchdog import LastDoorbell
from worker.settings import Pool, Settings, SettingsError, load_settings
from worker.tracing.traces import tracer_maker

log = structlog.get_logger("worker")

Answer = TypeVar("Answer")


def begin_parent(app: App, worker: Any) -> Parent:
    """Open and check what the worker's main process needs, and write the worker's row.

    Args:
        worker: Celery's own object; the command line may have set its concurrency and pool.

    Raises:
        SettingsError, EmbeddedError, DatabaseError, RightsError, TerraformNotFoundError: it
            cannot work.
    """
    make_undumpable()
    settings = load_settings(
        concurrency=worker.concurrency,
        pool=Pool.PREFORK if "prefork" in str(worker.pool_cls) else Pool.THREADS,
    )
    make_directories(settings)
    sandbox = _make_sandbox(settings)
    engines = make_engines(settings, sandbox=sandbox)
    tracer_maker(os.environ)  # raises if the settings ask for traces that are not available
    stack = ExitStack()
    services = stack.enter_context(open_services(settings.servers))
    app.redis_url = services.redis_url
    check_rights(services.database, services.redis_url)
    worker_id = _register(services.database, settings)
    if settings.pool is Pool.PREFORK and not is_multiprocess():
        log.warning("metrics.incomplete", reason="start prefork with `provisionerd worker`")
    # The pool's connections must not cross the fork of prefork.
    services.database.dispose()
    metrics = Metrics()
    metrics.sandbox.labels(sandbox.kind).set(1)
    return Parent(
        app=app,
        settings=settings,
        services=services,
        broker=BrokerClient(services.redis_url),
        engines=engines,
        worker_id=worker_id,
        metrics=metrics,
        flag=DrainFlag(),
        last_doorbell=LastDoorbell(),
        stack=stack,
    )


def _register(database: Database, settings: Settings) -> uuid.UUID:
    """Write the row of this worker.

    Raises:
        SettingsError: an organization that it is bound to does not exist.
    """
    try:
        with database.begin() as session:
            return register_worker(
                session,
                name=settings.worker_name,
                tags=settings.tags,
                provisioners=settings.engines,
                concurrency=settings.concurrency,
                version=version("provisionerd"),
                hostname=platform.node(),
                organizations=settings.organizations,
            )
    except NotFoundError as error:
        raise SettingsError(f"PROVISIONERD_ORGANIZATIONS: {error}") from error


def _make_sandbox(settings: Settings) -> Sandbox:
    choice = sandbox_choice(settings)
    if ProvisionerType.TERRAFORM not in settings.engines:
        return choice.sandbox
    if choice.sandbox.kind is SandboxKind.OFF:
        log.warning("sandbox.off", reason=choice.reason, see="docs/security.md")
    else:
        log.info("sandbox.chosen", kind=choice.sandbox.kind.value)
        _warn_of_needs(settings)
    return choice.sandbox


def _warn_of_needs(settings: Settings) -> None:
    """Say what templates see because a provider needs it: nobody set that on this worker."""
    needs = provider_needs(settings)
    if paths := [*needs.readable, *needs.writable]:
        log.warning(
            "sandbox.widened",
            paths=[str(path) for path in paths],
            keeps_user=needs.keeps_user,
            see="docs/security.md",
        )


def run_or_exit(action: Callable[[], Answer]) -> Answer:
    """Run ``action``; if it fails, print one sentence and exit with status 1.

    Celery only logs what a signal's receiver raises: a worker that cannot work would stay alive.
    """
    try:
        return action()
    except Exception as error:
        sentence = explain(error)
        if sentence is not None:
            sys.stderr.write(f"Error: {sentence}\n")
        elif structlog.is_configured():
            log.exception("worker.start_failed")
        else:  # by default structlog prints the values of variables, secrets too
            traceback.print_exception(error)
        raise SystemExit(1) from error
