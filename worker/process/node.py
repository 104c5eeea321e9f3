"""Our worker in Celery: what it does on each of Celery's signals, and in which process.

worker_init           open the services, check them, write the worker's row   parent
worker_process_init   create and start the runtime                            prefork child
worker_ready          in the threads pool: create and start the runtime;
                      serve metrics, handle signals, start the chores         parent
worker_shutdown       stop everything, sign off                               parent

Celery's signals are global. They are connected only when our worker is created: importing
``worker.app`` changes nothing in a process.
"""

from __future__ import annotations

import gc
import warnings
from typing import Any

import structlog
from celery import signals
from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning

from worker.metrics.multiprocess import forget_process
from worker.process.application import App
from worker.process.lifecycle import Parent
from worker.process.start import begin_parent, run_or_exit
from worker.process.telemetry import configure_logging
from worker.settings import LogFormat, Pool, load_settings
from worker.tracing.traces import process_tracer

log = structlog.get_logger("worker")


class Node(Worker):  # type: ignore[misc]
    """Celery's worker for our application."""

    app: App
    hostname: str

    def on_before_init(self, **options: Any) -> None:
        """Connect the signals, before Celery sends the first one."""
        Receivers(self).connect()
        with warnings.catch_warnings():
            # Celery's warning about root is about pickle, which we do not accept. Under root each
            # build runs as a user of its own.
            warnings.simplefilter("ignore", SecurityWarning)
            super().on_before_init(**options)


class Receivers:
    """The receivers of one worker. They ignore the signals of other workers."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._app = node.app
        self._parents: list[Parent] = []

    def connect(self) -> None:
        """Connect all receivers."""
        for signal, receiver in (
            (signals.worker_init, self._begin),
            (signals.worker_process_init, self._begin_child),
            (signals.worker_process_shutdown, self._end_child),
            (signals.worker_ready, self._ready),
            (signals.worker_shutdown, self._end),
            # A receiver of this signal keeps Celery from setting up logging itself.
            (signals.setup_logging, self._set_up_logging),
        ):
            signal.connect(receiver, weak=False)

    def _begin(self, sender: object, **_: object) -> None:
        if sender is self._node:
            self._set_up_logging()  # Celery asks for it only after this signal
            self._parents.append(run_or_exit(lambda: begin_parent(self._app, self._node)))
            # What is loaded stays. A full collection would go through all of it, which stops every
            # thread for a tenth of a second and gives each process of prefork a copy of its own.
            gc.freeze()

    def _begin_child(self, sender: object, **_: object) -> None:
        # Only in prefork: the threads pool does not send this signal.
        if sender == self._node.hostname:
            self._app.runtime = None
            self._parents[0].make_runtime(slots=1)

    def _end_child(self, sender: object, pid: int = 0, **_: object) -> None:
        if sender == self._node.hostname:
            forget_process(pid)
            process_tracer().close()

    def _ready(self, sender: Any, **_: object) -> None:
        if sender.app is self._app:
            _start(self._parents[0])

    def _end(self, sender: object, **_: object) -> None:
        if sender is self._node:
            self._parents.pop().close()

    def _set_up_logging(self, **_: object) -> None:
        settings = run_or_exit(load_settings)
        is_json = settings.log_format is LogFormat.JSON
        configure_logging(log_level=settings.log_level, as_json=is_json)


def _start(parent: Parent) -> None:
    if parent.settings.pool is Pool.THREADS:
        run_or_exit(lambda: parent.make_runtime(slots=parent.settings.concurrency))
    run_or_exit(parent.serve_metrics)
    parent.start_chores()
    log.info(
        "worker.ready",
        name=parent.settings.worker_name,
        slots=parent.settings.concurrency,
        pool=parent.settings.pool.value,
    )
