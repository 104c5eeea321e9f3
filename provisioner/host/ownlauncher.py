"""The launcher of this process: it is started when it is needed, and replaced when it hangs."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog

from provisioner.host import launcher
from provisioner.host.sandbox import processes

log = structlog.get_logger("provisioner")


class OwnLauncher:
    """The launcher of this process, started when needed; a forked child starts its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pid = 0
        self._left: dict[int, list[int]] = {}  # children of the launcher that was replaced last
        # A copy of our end in a child would make the launcher believe that its worker is alive.
        # The lock prevents a fork in the middle of a start, which would make such a copy.
        os.register_at_fork(
            before=self._lock.acquire,
            after_in_parent=self._lock.release,
            after_in_child=self._forget,
        )

    def send(self, head: bytes, descriptors: Sequence[int]) -> int:
        """Send the head of an order, with its descriptors; return the launcher's process id."""
        with self._lock:
            if self._socket is not None:
                with suppress(ConnectionError):
                    socket.send_fds(self._socket, [head], descriptors)
                    return self._pid
                ended, self._socket = self._socket, None
                self._reap(ended)
            self._socket = self._start()
            socket.send_fds(self._socket, [head], descriptors)
            return self._pid

    def wake(self, pid: int) -> None:
        """Let a launcher go on that somebody has stopped."""
        with self._lock, suppress(ProcessLookupError):
            if self._socket is not None and self._pid == pid:
                os.kill(pid, signal.SIGCONT)

    def replace(self, pid: int) -> None:
        """Kill the launcher of this process id, which hangs; the next order starts another one.

        Its programs are stopped like those of a launcher that was killed by somebody else.
        """
        with self._lock:
            if self._socket is None or self._pid != pid:
                return  # it was replaced already
            log.error("launcher.hangs", pid=pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)  # from now on it starts nothing
                self._left = {pid: list(processes.children_of(pid))}
                os.kill(pid, signal.SIGKILL)
            self._reap(self._socket)
            self._socket = None

    def find_left(self, pid: int, directory: str) -> int | None:
        """Return the program that a replaced launcher had started in a directory (Linux).

        None if there is none. In the root directory none is looked for: several programs may run
        there at once, and each of them ends by itself.
        """
        with self._lock:
            children = self._left.get(pid, []) if directory != "/" else []
        for child in children:
            with suppress(OSError):  # it has ended
                if str(Path(f"/proc/{child}/cwd").readlink()) == directory:
                    return child
        return None

    def _start(self) -> socket.socket:
        ours, theirs = socket_pair()
        with ExitStack() as kept, theirs:
            kept.enter_context(ours)
            # No environment: programs of templates could read the worker's secrets there.
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-B", launcher.__file__],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,  # an operator's Ctrl+C must not reach it
            )
            kept.pop_all()
        return ours

    def _reap(self, ours: socket.socket) -> None:
        ours.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._lock.release()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends that wait for as long as it takes."""
    pair = socket.socketpair()
    for end in pair:
        # While Celery drains, new sockets have a timeout. The launcher would then refuse an order
        # that has not arrived yet.
        end.setblocking(True)
    return pair


LAUNCHER = OwnLauncher()
