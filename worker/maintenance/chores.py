"""A chore: something small that a worker does every few seconds until it is stopped."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import structlog

from db.outage import is_outage

log = structlog.get_logger("worker")

JITTER = 0.1


class Chore:
    """Calls ``action`` from a thread of its own, first at once, then every ``interval_s``.

    A failing action is logged and tried again at its next turn: a chore must outlive any outage.
    """

    def __init__(self, name: str, interval_s: float, action: Callable[[], object]) -> None:
        self._name = name
        self._interval_s = interval_s
        self._action = action
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the turn that is under way."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            self._take_turn()
            # Workers that were started together do not stay in step.
            pause_s = self._interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            if self._stopping.wait(pause_s):
                return

    def _take_turn(self) -> None:
        try:
            self._action()
        except Exception as error:
            if is_outage(error):
                log.warning("chore.postponed", chore=self._name, error=str(error))
            else:
                log.exception("chore.failed", chore=self._name)
