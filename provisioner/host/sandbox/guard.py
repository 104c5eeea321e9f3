"""The process between the launcher and a sandbox: it starts the command and ends all it leaves.

The guard is a fork of the launcher, outside of the sandbox. It leads the process group that the
launcher signals. It passes an interrupt on to the program itself, because bubblewrap does not,
keeps the job within its limits, ends what the program left running, and exits with the program's
status. If the guard or bubblewrap is killed, the whole sandbox dies. If the launcher is killed,
the guard and its program go on.

This module runs in the launcher, so it imports little.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from provisioner.host.sandbox import processes, restriction
from provisioner.host.sandbox.confinement import Confinement
from provisioner.host.sandbox.limits import Limit, Limits, measure, set_limit, set_limits
from provisioner.host.sandbox.restriction import Rule

CANNOT_GUARD = 125
"""The exit status of a guard that failed itself."""
FIRST_LIMIT_STATUS = 200
"""The exit status of a guard whose program failed at a limit is this plus the limit's number."""

_ERROR = struct.Struct("=i")
_ERROR_END = 3  # the descriptor through which a failed start is reported
_FIRST_CLOSED = 4
_HIGHEST = 1 << 20
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
_TAKEN = {*_FORWARDED, signal.SIGCHLD}
_TO_DEFAULT = (*_TAKEN, signal.SIGPIPE, signal.SIGXFSZ)
_MEASURE_S = 0.25  # the time between measurements, at least
_PAUSES = 20  # a measurement is followed by a pause of this many times its own length
_ENFORCE_S = 0.05
_CLEANUP_S = 10.0  # a killed process ends at once, unless it waits for a broken disk
_CLEANUP_TICK_S = 0.005
_MERCY_S = 3.0  # the program itself may write its state after the rest was killed


def limit_of(status: int) -> Limit | None:
    """Return the limit that an exit status of a guard names, if it names one."""
    number = status - FIRST_LIMIT_STATUS
    return Limit(number) if 0 <= number < len(Limit) else None


def spawn(
    command: list[bytes],
    cwd: bytes,
    environment: Mapping[bytes, bytes],
    ends: Sequence[int],
    confinement: Confinement,
) -> int:
    """Start ``command`` under a guard; return the guard's process id, also that of its group.

    Args:
        ends: the descriptors for standard output and standard error.

    Raises:
        OSError: the command cannot be started.
    """
    reading, writing = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _guard(command, cwd, environment, (*ends, writing), confinement)
    finally:
        os.close(writing)
    try:
        refused = os.read(reading, _ERROR.size)  # ends when the command has been executed
    finally:
        os.close(reading)
    if refused:
        os.waitpid(pid, 0)
        number = _ERROR.unpack(refused)[0]
        raise OSError(number, os.strerror(number))
    return pid


def adopt_orphans() -> None:
    """Become the parent of every orphan below this process (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _guard(
    command: list[bytes],
    cwd: bytes,
    environment: Mapping[bytes, bytes],
    ends: Sequence[int],
    confinement: Confinement,
) -> None:
    """Start the command, watch over it, and exit as it does. Never return."""
    status = CANNOT_GUARD
    try:
        os.setsid()
        _prepare(ends)
        os.chdir(cwd)  # so that recovery counts the guard among the processes of the job
        child = _start(command, environment, confinement)
        os.close(_ERROR_END)
        for descriptor in (1, 2):
            os.dup2(0, descriptor)
        status = _Watch(child, confinement).run()
    except OSError as error:
        _refuse(error)
    finally:
        _exit(status)


def _prepare(ends: Sequence[int]) -> None:
    """Take the signals, and keep no descriptor but standard ones and the one for errors."""
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
    for number in _TO_DEFAULT:  # an ignored signal would not even become pending
        signal.signal(number, signal.SIG_DFL)
    adopt_orphans()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_CLOSED) for end in ends]
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    for end, target in zip(high, (1, 2, _ERROR_END), strict=True):
        os.dup2(end, target, inheritable=target != _ERROR_END)
    os.closerange(_FIRST_CLOSED, _HIGHEST)


def _start(
    command: list[bytes], environment: Mapping[bytes, bytes], confinement: Confinement
) -> int:
    if confinement.limits is not None:
        set_limits(confinement.limits)
        _limit_processes(confinement.limits, confinement)
    if confinement.rules is not None:
        return _fork(command, environment, confinement, confinement.rules)
    try:
        return os.posix_spawn(
            command[0], command, environment, setsigmask=(), setsigdef=_TO_DEFAULT
        )
    except ValueError as error:  # a NUL, or "=" in a name
        raise OSError(errno.EINVAL, "") from error


def _fork(
    command: list[bytes],
    environment: Mapping[bytes, bytes],
    confinement: Confinement,
    rules: Sequence[Rule],
) -> int:
    """Start the command under rules, which a process can only set for itself."""
    child = os.fork()
    if child != 0:
        return child
    try:
        restriction.empty_bounding_set()
        if confinement.user is not None:
            _become_user(confinement.user)
        _die_with_parent()  # the change of the user has undone it
        restriction.restrict((*rules, (f"/proc/{os.getpid()}", restriction.READ)))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command[0], command, environment)  # noqa: S606 -- this is its purpose
    except OSError as error:
        _refuse(error)
    except ValueError:  # a NUL, or "=" in a name
        _refuse(OSError(errno.EINVAL, ""))
    finally:
        os._exit(CANNOT_GUARD)


def _become_user(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _limit_processes(limits: Limits, confinement: Confinement) -> None:
    """Limit the processes of the user who runs the command; root is exempt from it.

    Where several builds have one user, this is only the last defence: the others notice it, too.
    A command in a user namespace sets its own limit, which counts only what is in there.
    """
    if confinement.user is not None:
        set_limit(resource.RLIMIT_NPROC, limits.processes)
    elif confinement.rules is not None:
        with open("/proc/loadavg", "rb") as file:  # noqa: PTH123 -- see processes
            on_host = int(file.read().split()[3].partition(b"/")[2])
        set_limit(resource.RLIMIT_NPROC, on_host + limits.processes)


def _refuse(error: OSError) -> None:
    with suppress(OSError):  # the command was started: nobody waits for this any more
        os.write(_ERROR_END, _ERROR.pack(error.errno or errno.EIO))


class _Watch:
    """Watches over one program until it and everything that it has left have ended."""

    def __init__(self, child: int, confinement: Confinement) -> None:
        self._child = child
        self._depth = confinement.depth
        self._limits = confinement.limits
        self._folders = confinement.folders
        self._interval_s = _MEASURE_S
        self._exceeded: Limit | None = None
        self._exceeded_at = 0.0

    def run(self) -> int:
        """Return the exit status of the program, negative for a signal."""
        status = None
        while status is None:
            taken = signal.sigtimedwait(_TAKEN, self._interval_s)
            if taken is None:
                self._check_limits()
            elif taken.si_signo == signal.SIGCHLD:
                status = self._reap()
            else:
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

    def _forward(self, number: int) -> None:
        """Send the signal to the program; kill a sandbox in which it has not started."""
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


def _exit(status: int) -> None:
    """Exit with the status, or by the signal that a negative one names."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(-status, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), -status)
    os._exit(status if status >= 0 else CANNOT_GUARD)
