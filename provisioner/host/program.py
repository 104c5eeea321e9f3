"""A program that the launcher has started: it leads a session and a process group of its own.

This module runs in the launcher, so it imports little.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""The signals that the launcher ignores: sent to the whole service, they are for the worker."""

_RESERVE = b"../reserve"  # as in provisioner.host.workdir
# A daemon that a script starts with "&" ignores SIGINT, and Python ignores SIGPIPE: children would
# inherit that.
_TO_DEFAULT = (*IGNORED, signal.SIGPIPE, signal.SIGXFSZ)


class Program:
    """One program that was started."""

    def __init__(self, pid: int, directory: bytes, channel: int, outputs: Sequence[int]) -> None:
        self.pid = pid  # leads the process group
        self.directory = directory  # where it was started
        self.channel = channel
        self.outputs = set(outputs)  # reading ends
        self.is_interrupted = False
        self.is_orphan = False  # the worker is gone
        self.is_released = False  # the worker does not need to know how it ends
        # It has ended but is not reaped, so that no other process can get its id or the id of its
        # group before the group is killed.
        self.has_ended = False

    @property
    def is_finished(self) -> bool:
        """Whether it has ended and nobody reads its output any more."""
        return self.has_ended and (self.is_orphan or self.is_released)

    def status(self) -> int | None:
        """Return the exit status without reaping the process, None if it has not ended."""
        if not hasattr(os, "waitid"):
            return self._reaped_status()
        info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return None
        return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status

    def _reaped_status(self) -> int | None:
        """Do the same on macOS before Python 3.13, where the process id may be reused too early."""
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None

    def signal(self, number: int) -> None:
        """Send SIGKILL to the whole group, and any other signal only to its leader."""
        # macOS: EPERM when only zombies are left
        with suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(self.pid, number)
            else:
                self.is_interrupted = True
                os.kill(self.pid, number)

    def reap(self) -> None:
        """Kill the rest of the group, then let its id go."""
        self.signal(signal.SIGKILL)
        with suppress(ChildProcessError):  # see _reaped_status
            os.waitpid(self.pid, 0)

    def free_reserve(self) -> None:
        """Free the room on disk that is reserved for its state, once its worker has died."""
        with suppress(OSError):  # most programs have none
            # pathlib takes too long to import here.
            os.unlink(os.path.join(self.directory, _RESERVE))  # noqa: PTH108, PTH118


def spawn(
    command: list[bytes],
    cwd: bytes,
    environment: Mapping[bytes, bytes],
    ends: tuple[int, int],
) -> int:
    """Start ``command`` and return its process id.

    Args:
        ends: the descriptors for standard output and standard error.

    Raises:
        OSError: the command cannot be started.
    """
    try:
        # posix_spawnp searches the PATH of this process.
        os.environb[b"PATH"] = environment.get(b"PATH", os.fsencode(os.defpath))
        os.chdir(cwd)
        # The C library suspends this process until the program has started; it is not copied.
        return os.posix_spawnp(
            command[0],
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, ends[0], 1),
                (os.POSIX_SPAWN_DUP2, ends[1], 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_TO_DEFAULT,
        )
    except ValueError as error:  # a NUL, or "=" in a name
        raise OSError(errno.EINVAL, "") from error
    finally:
        os.chdir("/")  # recovery must not count this process among those of a work directory
