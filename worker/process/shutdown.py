"""Bring a worker's main process to its end: by signals, or by the watchdog."""

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
INSIST_AFTER_S = 10.0
"""How long a stalled Celery may take to hear of its end."""


@dataclass(kw_only=True)
class Shutdown:
    """The end of one worker process, and of its children by the flag that they share.

    Args:
        drain_seconds: how long the builds that run may go on.
        tell: writes on the worker's row that it drains; may fail when the database is away.
        running: how many builds run in this process.
    """

    flag: DrainFlag
    drain_seconds: float
    tell: Callable[[], None]
    running: Callable[[], int]
    exit_status: int = 0

    def take_signals(self) -> None:
        """Handle SIGTERM, SIGINT and SIGQUIT alike: drain at the first, hurry at the second."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._on_signal)

    def end(self, exit_status: int) -> None:
        """Drain and end with ``exit_status``, also when Celery's loop does not hear of it."""
        self.exit_status = exit_status
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=self._insist, name="insist", daemon=True).start()

    def _on_signal(self, _number: int, _frame: object) -> None:
        state = self.flag.advance()
        # Celery's own mark for a warm shutdown: no new message, and the pool is waited for.
        celery_state.should_stop = self.exit_status
        if state is DrainState.DRAINING:
            threading.Thread(target=self._end_drain, name="drain", daemon=True).start()

    def _end_drain(self) -> None:
        log.info("worker.draining", seconds=self.drain_seconds)
        # In a thread of its own: a database that is away must not delay the end.
        threading.Thread(target=self._tell, name="tell-drain", daemon=True).start()
        hurried = self.flag.wait_within(DrainState.HURRYING, self.drain_seconds, TICK_S)
        if not hurried:
            self.flag.advance()
        log.warning("worker.hurrying", reason="signal" if hurried else "drain time is over")

    def _tell(self) -> None:
        try:
            self.tell()
        except SQLAlchemyError as error:
            log.warning("worker.drain_untold", error=str(error))

    def _insist(self) -> None:
        self.flag.pause(INSIST_AFTER_S)
        while self.running():
            self.flag.pause(TICK_S)
        log.error("worker.ended_itself")
        os._exit(self.exit_status)
