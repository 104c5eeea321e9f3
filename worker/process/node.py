"""Celery's worker, and the signals by which ours lives: what happens when, in which process.

worker_init           open the services, check them, write the worker's row   parent
worker_process_init   make and start the runtime                              prefork child
worker_ready          in the threads pool: make and start the runtime;
                      start heartbeat, sweeper and metrics; take the signals  parent
worker_shutdown       stop all that, sign off                                 parent

Celery's signals are global. They are connected when a worker of ours is made and not before:
a process that only imports ``worker.app`` stays as it is.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery import signals
from celery.apps.worker import Worker

from worker.metrics.multiprocess import forget_process
from worker.process.application import App
from worker.process.lifecycle import Parent, begin_parent, explained
from worker.process.telemetry import configure_logging
from worker.settings import Pool, load_settings
from worker.tracing.traces import process_tracer

log = structlog.get_logger("worker")


class Node(Worker):  # type: ignore[misc]
    """Celery's worker, of our application."""

    app: App
    hostname: str

    def on_before_init(self, **options: Any) -> None:
        """Connect the signals, before Celery sends the first one."""
        Receivers(self).connect()
        super().on_before_init(**options)


class Receivers:
    """Lets one worker live as described above. Other workers' signals are not answered."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._app = node.app
        self._parents: list[Parent] = []

    def connect(self) -> None:
        """Connect all of them."""
        for signal, receiver in (
            (signals.worker_init, self._begin),
            (signals.worker_process_init, self._begin_child),
            (signals.worker_process_shutdown, self._end_child),
            (signals.worker_ready, self._ready),
            (signals.worker_shutdown, self._end),
            # A receiver here keeps Celery from setting up logging by itself.
            (signals.setup_logging, self._set_up_logging),
        ):
            signal.connect(receiver, weak=False)

    def _begin(self, sender: object, **_: object) -> None:
        if sender is self._node:
            self._parents.append(explained(lambda: begin_parent(self._app, self._node)))

    def _begin_child(self, sender: object, **_: object) -> None:
        # In prefork only; the threads pool does not send this signal.
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
        configure_logging(explained(load_settings))


def _start(parent: Parent) -> None:
    if parent.settings.pool is Pool.THREADS:
        explained(lambda: parent.make_runtime(slots=parent.settings.concurrency))
    explained(parent.serve_metrics)
    parent.start_chores()
    log.info(
        "worker.ready",
        name=parent.settings.worker_name,
        slots=parent.settings.concurrency,
        pool=parent.settings.pool.value,
    )
