"""Run one program to its end. The only module that starts processes, by way of the launcher.

The program leads a process group of its own, so that a Ctrl+C in the operator's terminal does
not reach it, and nothing of that group outlives the call. Its parent is the launcher, which
lets it end in order if this process dies (see ``provisioner.host.launcher``).
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from provisioner.host import launcher
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.host.lines import PIECE, Lines, TakeText

_TICK_S = 0.1  # how late an interrupt may be noticed
_DRAIN_S = 1.0  # what is in the pipes when the leader ends is read within milliseconds


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a program ended."""

    returncode: int  #: negative: the signal that ended it
    signals: tuple[signal.Signals, ...] = ()  #: what ``run`` sent before the end, in order
    interrupted: InterruptReason | None = None  #: why SIGINT was sent, None if it was not
    is_lost: bool = False  #: the launcher was killed: the program was ended, ``returncode`` is 1

    @property
    def killed(self) -> bool:
        """Whether the program did not end by itself within its grace."""
        return signal.SIGKILL in self.signals


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    on_stdout: TakeText,
    on_stderr: TakeText,
    interrupt: Interrupt,
    timeout: timedelta,
    grace: timedelta,
) -> Exit:
    r"""Run ``command`` to its end and hand over its output in the calling thread.

    ``on_stdout`` and ``on_stderr`` get one line with ``"\n"`` at its end, or, of a line longer
    than ``lines.PIECE``, pieces without one before the last. Invalid UTF-8 is replaced, a carriage
    return before the line end dropped.

    An interrupt, or ``timeout`` (which requests ``InterruptReason.DEADLINE`` on ``interrupt``),
    sends SIGINT to the leader alone and only once: to Terraform a second one means to drop
    everything. After ``grace`` the whole group is killed. If this process dies, or the launcher,
    the program gets SIGINT too, unless it had it before.

    Raises:
        OSError: the command can not be started.
    """
    with _started(command, cwd, environment) as program:
        stop = _Stop(program, interrupt, timeout, grace)
        _pump(program, on_stdout, on_stderr, stop)
    return Exit(
        returncode=1 if program.returncode is None else program.returncode,
        signals=tuple(stop.signals),
        interrupted=interrupt.reason if stop.signals else None,
        is_lost=program.returncode is None,
    )


@contextmanager
def _started(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> Iterator[_Program]:
    order = launcher.pack_order(command, str(cwd), environment)
    with ExitStack() as kept:
        with ExitStack() as handed:
            conversation, theirs = socket.socketpair()
            kept.enter_context(conversation)
            handed.enter_context(theirs)
            stdout, stdout_end = _pipe(kept, handed)
            stderr, stderr_end = _pipe(kept, handed)
            ends = (theirs.fileno(), stdout_end, stderr_end, stdout, stderr)
            _LAUNCHER.send(launcher.HEAD.pack(len(order)), ends)
        pid = _order(conversation, order, command[0])
        program = _Program(pid, conversation, (stdout, stderr), kept)
        kept.callback(program.release)
        yield program


def _pipe(kept: ExitStack, handed: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    kept.callback(os.close, reading)
    handed.callback(os.close, writing)
    return reading, writing


def _order(conversation: socket.socket, order: bytes, name: str) -> int:
    reply = b""
    with suppress(ConnectionError):
        conversation.sendall(order)
        reply = conversation.recv(launcher.REPLY.size)
    if not reply:
        raise OSError(errno.ECONNRESET, "the launcher, which starts it, was killed; try again")
    what, number = launcher.REPLY.unpack(reply)
    if what == launcher.REFUSED:
        raise OSError(number, os.strerror(number), name)
    return int(number)


class _Program:
    """A program that was started, and the conversation with the launcher about it."""

    def __init__(
        self, pid: int, conversation: socket.socket, outputs: tuple[int, int], kept: ExitStack
    ) -> None:
        self.conversation = conversation
        self.outputs = outputs
        self.returncode: int | None = None
        self.is_lost = False  # the launcher is gone: the program is now on its own
        self._pid = pid
        # While the launcher lives, the id cannot become another's; this is for afterwards.
        self._handle: int | None = None
        with suppress(AttributeError, OSError):  # Linux has it, if its version or sandbox lets us
            self._handle = os.pidfd_open(pid)
            kept.callback(os.close, self._handle)

    def hear(self) -> None:
        """Take what the launcher has to say: how the program ended, unless it was killed itself."""
        reply = b""
        with suppress(ConnectionError):
            reply = self.conversation.recv(launcher.REPLY.size)
        if reply:
            self.returncode = launcher.REPLY.unpack(reply)[1]
        else:
            self.is_lost = True

    def has_ended(self) -> bool:
        return self.returncode is not None or (self.is_lost and self._is_gone())

    def send(self, number: signal.Signals) -> None:
        """Send SIGKILL to the whole group, anything else to the leader."""
        if not self.is_lost:
            with suppress(ConnectionError):
                self.conversation.sendall(bytes([number]))
                return
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._pid, number)
            elif self._handle is None:
                os.kill(self._pid, number)
            else:
                signal.pidfd_send_signal(self._handle, number)

    def release(self) -> None:
        """Kill what is left of the group; return when the launcher has done so."""
        if self.is_lost:
            self.send(signal.SIGKILL)
        with suppress(ConnectionError):
            self.conversation.sendall(bytes([launcher.RELEASE]))
            while self.conversation.recv(launcher.REPLY.size):
                pass  # it had more to say

    def _is_gone(self) -> bool:
        if self._handle is not None:
            return bool(select.select([self._handle], [], [], 0)[0])
        with suppress(ProcessLookupError):
            os.kill(self._pid, 0)
            return False
        return True


def _pump(program: _Program, on_stdout: TakeText, on_stderr: TakeText, stop: _Stop) -> None:
    """Read both pipes until they end, or until ``_DRAIN_S`` after the leader did."""
    drained_at: float | None = None
    with selectors.DefaultSelector() as selector:
        for output, take in zip(program.outputs, (on_stdout, on_stderr), strict=True):
            selector.register(output, selectors.EVENT_READ, Lines(take))
        selector.register(program.conversation, selectors.EVENT_READ)
        while drained_at is None or (selector.get_map() and time.monotonic() < drained_at):
            _read_ready(selector, program)
            if drained_at is None and program.has_ended():
                drained_at = time.monotonic() + _DRAIN_S
            if drained_at is None:
                stop.act()
        for key in selector.get_map().values():
            key.data.end()


def _read_ready(selector: selectors.BaseSelector, program: _Program) -> None:
    for key, _events in selector.select(_TICK_S):
        if key.fileobj is program.conversation:
            selector.unregister(key.fileobj)
            program.hear()
        elif data := os.read(key.fd, PIECE):
            key.data.feed(data)
        else:
            selector.unregister(key.fileobj)
            key.data.end()


class _Stop:
    """Sends what is due to a running program: SIGINT once, SIGKILL to its group after the grace."""

    def __init__(
        self, program: _Program, interrupt: Interrupt, timeout: timedelta, grace: timedelta
    ) -> None:
        self._program = program
        self._interrupt = interrupt
        self._deadline = time.monotonic() + timeout.total_seconds()
        self._grace_s = grace.total_seconds()
        self.signals: list[signal.Signals] = []

    def act(self) -> None:
        is_due = time.monotonic() >= self._deadline
        if not self.signals:
            if is_due:
                self._interrupt.request(InterruptReason.DEADLINE)
            if self._interrupt.is_set() or self._program.is_lost:
                self._send(signal.SIGINT)
                self._deadline = time.monotonic() + self._grace_s
        elif (is_due or self._is_overdue()) and signal.SIGKILL not in self.signals:
            self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        self.signals.append(number)
        self._program.send(number)

    def _is_overdue(self) -> bool:
        """Whether the interrupt itself leaves less time than the grace."""
        kill_at = self._interrupt.kill_at
        return kill_at is not None and time.monotonic() >= kill_at


class _Launcher:
    """The launcher of this process, started when it is needed; made anew after a fork (prefork)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pid = 0
        # A copy of our end would let the launcher think that its worker lives on. The lock keeps
        # one from being made by a fork in the middle of a start.
        os.register_at_fork(
            before=self._lock.acquire,
            after_in_parent=self._lock.release,
            after_in_child=self._forget,
        )

    def send(self, head: bytes, descriptors: Sequence[int]) -> None:
        """Hand over the beginning of an order."""
        with self._lock:
            if self._socket is not None:
                with suppress(ConnectionError):
                    socket.send_fds(self._socket, [head], descriptors)
                    return
                self._bury(self._socket)
            self._socket = self._start()
            socket.send_fds(self._socket, [head], descriptors)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # No environment: the templates' programs could read the worker's secrets there.
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-B", launcher.__file__],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,  # an operator's Ctrl+C is not for it
            )
        return ours

    def _bury(self, ours: socket.socket) -> None:
        ours.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._lock.release()


_LAUNCHER = _Launcher()
