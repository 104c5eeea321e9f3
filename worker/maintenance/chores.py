"""A chore: a small action that a worker repeats every few seconds until it is stopped."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import structlog

from db.outage import is_outage
from db.streak import Streak

log = structlog.get_logger("worker")

JITTER = 0.1


class Chore:
    """Calls ``action`` from a separate thread: immediately, and then every ``interval_s``.

    A failed action is retried after the interval: a chore must survive any outage. The first of
    consecutive failures is logged, and the success that ends them.
    """

    def __init__(self, name: str, interval_s: float, action: Callable[[], object]) -> None:
        self._name = name
        self._interval_s = interval_s
        self._action = action
        self._failing = Streak()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after the current action."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            self._run_once()
            # Jitter: workers that were started together must not stay in step.
            pause_s = self._interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            if self._stopping.wait(pause_s):
                return

    def _run_once(self) -> None:
        try:
            self._action()
        except Exception as error:  # noqa: BLE001 - logged, and retried
            if self._failing.fail():
                self._log(error)
            return
        if failures := self._failing.end():
            log.info("chore.recovered", chore=self._name, failures=failures)

    def _log(self, error: Exception) -> None:
        if is_outage(error):
            log.warning("chore.postponed", chore=self._name, error=str(error))
        else:
            log.error("chore.failed", chore=self._name, exc_info=error)
