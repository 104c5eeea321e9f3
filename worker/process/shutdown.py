"""Shuts down a worker's main process, on a signal or for the watchdog."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from celery.worker import state as celery_state
from sqlalchemy.exc import SQLAlchemyError

from worker.process.drain import DrainFlag, DrainState

log = structlog.get_logger("worker")

TICK_S = 0.2
FORCE_EXIT_AFTER_S = 10.0
"""How long a stalled Celery may take to react to the signal."""


@dataclass(kw_only=True)
class Shutdown:
    """The shutdown of a worker's main process, and of its children by the flag that they share.

    Args:
        drain_seconds: how long running builds may go on.
        write_drain: writes to the worker's row that it drains; may fail if the database is away.
        running: returns the number of builds that run.
    """

    flag: DrainFlag
    drain_seconds: float
    write_drain: Callable[[], None]
    running: Callable[[], int]
    exit_status: int = 0

    def take_signals(self) -> None:
        """Handle SIGTERM, SIGINT and SIGQUIT: the first one drains, the second one hurries."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._on_signal)

    def end(self, exit_status: int) -> None:
        """Drain and exit with ``exit_status``, even if Celery's loop does not react."""
        self.exit_status = exit_status
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=self._force_exit, name="force-exit", daemon=True).start()

    def _on_signal(self, _number: int, _frame: object) -> None:
        state = self.flag.advance()
        # Celery's own flag for a warm shutdown: it takes no new message and waits for the pool.
        celery_state.should_stop = self.exit_status
        if state is DrainState.DRAINING:
            threading.Thread(target=self._end_drain, name="drain", daemon=True).start()

    def _end_drain(self) -> None:
        log.info("worker.draining", seconds=self.drain_seconds)
        # In a separate thread: a database that is away must not delay the shutdown.
        threading.Thread(target=self._try_write_drain, name="write-drain", daemon=True).start()
        hurried = self.flag.wait_within(DrainState.HURRYING, self.drain_seconds, TICK_S)
        if not hurried:
            self.flag.advance()
        log.warning("worker.hurrying", reason="signal" if hurried else "drain time is over")

    def _try_write_drain(self) -> None:
        try:
            self.write_drain()
        except SQLAlchemyError as error:
            log.warning("worker.drain_not_written", error=str(error))

    def _force_exit(self) -> None:
        self.flag.pause(FORCE_EXIT_AFTER_S)
        while self.running():
            self.flag.pause(TICK_S)
        log.error("worker.ended_itself")
        os._exit(self.exit_status)
