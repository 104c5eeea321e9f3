"""What a guard does while its program runs: it passes signals on and keeps the job in its limits.

This module runs in the launcher, so it imports little.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from provisioner.host.sandbox import processes
from provisioner.host.sandbox.confinement import Confinement
from provisioner.host.sandbox.limits import Limit, measure

FIRST_LIMIT_STATUS = 200
"""The exit status of a guard whose program failed at a limit is this plus the limit's number."""
OUTPUTS = (3, 4)
"""The reading ends of the program's pipes. If a pipe has none, what writes to it dies."""
_FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
LAUNCHER_DIED = signal.SIGUSR1
TAKEN = {*_FORWARDED, signal.SIGCHLD, LAUNCHER_DIED}
"""The signals that a guard handles. They must be blocked."""

_PIPE_BYTES = 1 << 20  # what an ordinary user may let a pipe hold
_RESERVE = "../reserve"  # as in provisioner.host.workdir
_MEASURE_S = 0.25  # the time between measurements, at least
_PAUSES = 20  # a measurement is followed by a pause of this many times its own length
_ENFORCE_S = 0.05
_CLEANUP_S = 10.0  # a killed process ends at once, unless it waits for a broken disk
_CLEANUP_TICK_S = 0.005
_MERCY_S = 3.0  # the program itself may write its state after the rest was killed


class Watch:
    """Watches over one program until it and everything that it has left have ended."""

    def __init__(self, confinement: Confinement, *, launcher: int) -> None:
        self.confinement = confinement
        self._child = 0
        self._launcher = launcher
        self._is_interrupted = False
        self._is_alone = False
        self._depth = confinement.depth
        self._limits = confinement.limits
        self._folders = confinement.folders
        self._interval_s = _MEASURE_S
        self._checked_at = time.monotonic()
        self._exceeded: Limit | None = None
        self._exceeded_at = 0.0

    def run(self, child: int) -> int:
        """Return the exit status of the program, negative for a signal."""
        self._child = child
        status = None
        while status is None:
            if os.getppid() != self._launcher and not self._is_alone:
                self._outlive_launcher()
            # By the clock: a template can let signals arrive all the time.
            if time.monotonic() - self._checked_at >= self._interval_s:
                self._check_limits()
                self._checked_at = time.monotonic()
            taken = signal.sigtimedwait(TAKEN, self._interval_s)
            if taken is None:
                continue
            if taken.si_signo == signal.SIGCHLD:
                status = self._reap()
            elif taken.si_signo in _FORWARDED:
                self._forward(taken.si_signo)
        _end_rest()
        return self._explained(status)

    def _reap(self) -> int | None:
        """Reap every child that has ended; return the status of the program if it is one."""
        status = None
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._child:
                    status = os.waitstatus_to_exitcode(found[1])
        return status

    def _outlive_launcher(self) -> None:
        """Let the program end as it would under the launcher, also if nobody reads its output."""
        self._is_alone = True
        for output in OUTPUTS:
            with suppress(OSError):  # all pipes of the user together may hold no more
                fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with suppress(OSError):  # most programs have none
            os.unlink(_RESERVE)  # noqa: PTH108 -- see processes
        self._forward(signal.SIGINT)

    def _forward(self, number: int) -> None:
        """Send the signal to the program; kill a sandbox in which it has not started.

        Of several interrupts it gets one: the worker that is still there sends one, too.
        """
        if number == signal.SIGINT and self._is_interrupted:
            return
        self._is_interrupted |= number == signal.SIGINT
        program = processes.first_below(self._child, self._depth)
        with suppress(ProcessLookupError):
            if program is None:
                os.kill(self._child, signal.SIGKILL)
            else:
                os.kill(program, number)

    def _check_limits(self) -> None:
        if self._limits is None:
            return
        started = time.monotonic()
        found = processes.below(os.getpid())
        exceeded = measure(self._limits, found, self._folders)
        if exceeded is not None:
            self._enforce(exceeded, found)
        elif self._exceeded is None:
            self._interval_s = max(_MEASURE_S, _PAUSES * (time.monotonic() - started))

    def _enforce(self, exceeded: Limit, found: Sequence[int]) -> None:
        """Kill the job's processes, first all but the program, which may write its state."""
        if self._exceeded is None:
            self._exceeded, self._exceeded_at = exceeded, time.monotonic()
        self._interval_s = _ENFORCE_S
        if time.monotonic() - self._exceeded_at > _MERCY_S:
            _kill([self._child])
            return
        spared = {self._child, *processes.line_below(self._child, self._depth)}
        _kill([pid for pid in found if pid not in spared])

    def _explained(self, status: int) -> int:
        if self._exceeded is not None and status != 0:
            return FIRST_LIMIT_STATUS + self._exceeded
        # bubblewrap says in the way of a shell which signal ended the program.
        return 128 - status if self._depth and 128 < status < 128 + signal.NSIG else status


def _end_rest() -> None:
    """Kill whatever still runs below this process, and wait for its end."""
    end = time.monotonic() + _CLEANUP_S
    while time.monotonic() < end:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        _kill(processes.below(os.getpid()))
        signal.sigtimedwait({signal.SIGCHLD}, _CLEANUP_TICK_S)


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
