"""The process between the launcher and a sandbox: it starts the command and ends all it leaves.

The guard is a fork of the launcher, outside of the sandbox. It leads the process group that the
launcher signals. It passes an interrupt on to the program itself, because bubblewrap does not,
keeps the job within its limits, ends what the program left running, and exits with the program's
status. If the guard or bubblewrap is killed, the whole sandbox dies. If the launcher is killed,
the guard interrupts the program, which may have lost its worker, too, and keeps its pipes open, so
that it can end by itself.

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
from collections.abc import Mapping, Sequence
from contextlib import suppress

from provisioner.host.sandbox import restriction
from provisioner.host.sandbox.confinement import Confinement
from provisioner.host.sandbox.limits import Limit, Limits, set_limit, set_limits
from provisioner.host.sandbox.restriction import Rule
from provisioner.host.sandbox.syscalls import filter_program
from provisioner.host.sandbox.watch import FIRST_LIMIT_STATUS, LAUNCHER_DIED, OUTPUTS, TAKEN, Watch

CANNOT_GUARD = 125
"""The exit status of a guard that failed itself."""

FILTER_END = 6
"""The descriptor from which bubblewrap reads its filter of system calls."""

_ERROR = struct.Struct("=i")
_ERROR_END = 5  # the descriptor through which a failed start is reported
_FIRST_CLOSED = FILTER_END
_HIGHEST = 1 << 20
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TO_DEFAULT = (*TAKEN, signal.SIGPIPE, signal.SIGXFSZ)


def limit_of(status: int) -> Limit | None:
    """Return the limit that an exit status of a guard names, if it names one."""
    number = status - FIRST_LIMIT_STATUS
    return Limit(number) if 0 <= number < len(Limit) else None


def spawn(
    command: list[bytes],
    cwd: bytes,
    environment: Mapping[bytes, bytes],
    pipes: Sequence[int],
    confinement: Confinement,
) -> int:
    """Start ``command`` under a guard; return the guard's process id, also that of its group.

    Args:
        pipes: the writing ends for standard output and standard error, then their reading ends.

    Raises:
        OSError: the command cannot be started.
    """
    watch = Watch(confinement, launcher=os.getpid())
    reading, writing = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _guard(command, cwd, environment, (*pipes, writing), watch)
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
    _set(_PR_SET_CHILD_SUBREAPER, 1)


def _set(attribute: int, value: int) -> None:
    ctypes.CDLL(None).prctl(attribute, value, 0, 0, 0)


def _guard(
    command: list[bytes],
    cwd: bytes,
    environment: Mapping[bytes, bytes],
    descriptors: Sequence[int],
    watch: Watch,
) -> None:
    """Start the command, watch over it, and exit as it does. Never return."""
    status = CANNOT_GUARD
    try:
        os.setsid()
        _prepare(descriptors)
        os.chdir(cwd)  # so that recovery counts the guard among the processes of the job
        child = _start(command, environment, watch.confinement)
        os.close(_ERROR_END)
        for descriptor in (1, 2):
            os.dup2(0, descriptor)
        status = watch.run(child)
    except OSError as error:
        _refuse(error)
    finally:
        _exit(status)


def _prepare(descriptors: Sequence[int]) -> None:
    """Take the signals, and keep no descriptors but the standard ones and these."""
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
    for number in _TO_DEFAULT:  # an ignored signal would not even become pending
        signal.signal(number, signal.SIG_DFL)
    adopt_orphans()
    _set(_PR_SET_PDEATHSIG, LAUNCHER_DIED)  # once, since the launcher has one thread
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _FIRST_CLOSED) for one in descriptors]
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    for one, target in zip(high, (1, 2, *OUTPUTS, _ERROR_END), strict=True):
        os.dup2(one, target, inheritable=target in {1, 2})
    os.closerange(_FIRST_CLOSED, _HIGHEST)


def _start(
    command: list[bytes], environment: Mapping[bytes, bytes], confinement: Confinement
) -> int:
    if confinement.limits is not None:
        set_limits(confinement.limits)
        _limit_processes(confinement.limits, confinement)
    if confinement.rules is not None:
        return _fork(command, environment, confinement, confinement.rules)
    if confinement.is_namespaced:
        restriction.forbid_abstract_sockets(command[0])
        _hand_filter()
    try:
        return os.posix_spawn(
            command[0], command, environment, setsigmask=(), setsigdef=_TO_DEFAULT
        )
    except ValueError as error:  # a NUL, or "=" in a name
        raise OSError(errno.EINVAL, "") from error
    finally:
        os.closerange(FILTER_END, FILTER_END + 1)


def _hand_filter() -> None:
    """Let bubblewrap read its filter of system calls, which a pipe can hold."""
    program = filter_program(has_own_processes=True)
    if program is None:
        return
    reading, writing = os.pipe()
    os.write(writing, program)
    os.close(writing)
    if reading != FILTER_END:
        os.dup2(reading, FILTER_END)
        os.close(reading)
    os.set_inheritable(FILTER_END, True)


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
        _set(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of the user has undone it
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


def _exit(status: int) -> None:
    """Exit with the status, or by the signal that a negative one names."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(-status, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), -status)
    os._exit(status if status >= 0 else CANNOT_GUARD)
