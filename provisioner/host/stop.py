"""When a running program is stopped: at an interrupt, its time limit, or the launcher's death."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from typing import Protocol

from provisioner.host.interrupt import Interrupt, InterruptReason


class Stoppable(Protocol):
    """A running program."""

    @property
    def is_lost(self) -> bool:
        """Whether the launcher, its parent, was killed."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Send SIGKILL to the whole group, any other signal to the leader."""
        ...


class Stop:
    """Stops a running program: SIGINT once, SIGKILL to its group after the grace period."""

    def __init__(
        self, program: Stoppable, interrupt: Interrupt, *, timeout: timedelta, grace: timedelta
    ) -> None:
        self._program = program
        self._interrupt = interrupt
        self._deadline = time.monotonic() + timeout.total_seconds()
        self._grace_s = grace.total_seconds()
        self.signals: list[signal.Signals] = []

    def act(self) -> None:
        """Send the signal that is due now, if any."""
        is_due = time.monotonic() >= self._deadline
        if not self.signals:
            self._interrupt_program(is_due=is_due)
        elif signal.SIGKILL not in self.signals and (is_due or self._is_overdue()):
            self._send(signal.SIGKILL)

    def _interrupt_program(self, *, is_due: bool) -> None:
        if is_due:
            self._interrupt.request(InterruptReason.DEADLINE)
        if self._interrupt.is_set() or self._program.is_lost:
            self._send(signal.SIGINT)
            self._deadline = time.monotonic() + self._grace_s

    def _send(self, number: signal.Signals) -> None:
        self.signals.append(number)
        self._program.send(number)

    def _is_overdue(self) -> bool:
        """Return whether the kill time of the interrupt itself has passed."""
        kill_at = self._interrupt.kill_at
        return kill_at is not None and time.monotonic() >= kill_at
