"""A chore: a small action that a worker repeats every few seconds until it is stopped."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import structlog

from db.outage import is_outage

log = structlog.get_logger("worker")

JITTER = 0.1


class Chore:
    """Calls ``action`` from a separate thread: immediately, and then every ``interval_s``.

    A failed action is logged and retried after the interval: a chore must survive any outage.
    """

    def __init__(self, name: str, interval_s: float, action: Callable[[], object]) -> None:
        self._name = name
        self._interval_s = interval_s
        self._action = action
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
        except Exception as error:
            if is_outage(error):
                log.warning("chore.postponed", chore=self._name, error=str(error))
            else:
                log.exception("chore.failed", chore=self._name)
