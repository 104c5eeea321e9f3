"""Run one program to its end. The launcher of this process starts it.

The program leads its own process group, so that a Ctrl+C in the operator's terminal does not
reach it. No process of the group outlives the call. Its parent is the launcher, which lets it end
cleanly if this process dies (see ``provisioner.host.launcher``).
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from provisioner.host import launcher
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.host.lines import PIECE, Lines, TakeText
from provisioner.host.ownlauncher import LAUNCHER, socket_pair
from provisioner.host.sandbox.confinement import Confinement
from provisioner.host.sandbox.guard import limit_of
from provisioner.host.sandbox.limits import Limit
from provisioner.host.stop import Stop

_TICK_S = 0.1  # the longest delay until an interrupt is noticed
_ANSWER_S = 30.0  # a launcher on a busy host answers within a second
_DRAIN_S = 1.0  # the rest in the pipes after the leader has ended is read within milliseconds


class LauncherError(OSError):
    """The launcher did not say whether it has started the program."""


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a program ended."""

    returncode: int  #: negative: the signal that ended it
    signals: tuple[signal.Signals, ...] = ()  #: what ``run`` sent before the end, in order
    interrupted: InterruptReason | None = None  #: why SIGINT was sent, None if it was not
    is_lost: bool = False  #: the launcher was killed: the program was stopped, ``returncode`` is 1
    limit: Limit | None = None  #: the limit of the sandbox at which it failed

    @property
    def killed(self) -> bool:
        """Whether the program did not end by itself within its grace period."""
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
    confinement: Confinement | None = None,
) -> Exit:
    r"""Run ``command`` to its end and pass on its output in the calling thread.

    ``on_stdout`` and ``on_stderr`` get one line at a time, with ``"\n"`` at its end. A line longer
    than ``lines.PIECE`` comes in pieces, of which only the last ends with ``"\n"``. Invalid UTF-8
    is replaced, and a carriage return before the line end is dropped.

    An interrupt, or ``timeout`` (which requests ``InterruptReason.DEADLINE`` on ``interrupt``),
    sends SIGINT only to the leader and only once: Terraform takes a second one as an order to drop
    everything. After ``grace`` the whole group is killed. If this process or the launcher dies,
    the program gets SIGINT too, unless it has got it before.

    With a ``confinement`` the command runs under a guard, which needs the path of a program, not
    its name on the PATH (see ``provisioner.host.sandbox``).

    Raises:
        OSError: the command cannot be started.
    """
    order = launcher.pack_order(command, str(cwd), environment, confinement)
    with _started(order, command[0], cwd.resolve()) as program:
        stop = Stop(program, interrupt, timeout=timeout, grace=grace)
        _pump(program, on_stdout, on_stderr, stop)
    status = program.returncode
    return Exit(
        returncode=1 if status is None else status,
        signals=tuple(stop.signals),
        interrupted=interrupt.reason if stop.signals else None,
        is_lost=status is None,
        limit=None if confinement is None or status is None else limit_of(status),
    )


def reason_of(error: OSError) -> str:
    """Return the reason of an operating system error, without its number and file name."""
    return error.strerror or str(error)


@contextmanager
def _started(order: bytes, name: str, directory: Path) -> Iterator[_Program]:
    with ExitStack() as kept:
        with ExitStack() as handed:
            channel, theirs = socket_pair()
            kept.enter_context(channel)
            handed.enter_context(theirs)
            stdout, stdout_end = _pipe(kept, handed)
            stderr, stderr_end = _pipe(kept, handed)
            ends = (theirs.fileno(), stdout_end, stderr_end, stdout, stderr)
            parent = LAUNCHER.send(launcher.HEAD.pack(len(order)), ends)
        try:
            pid = _order(channel, order, name, parent)
        except LauncherError:
            # It may have started the program before it hung: that one is stopped, not forgotten.
            left = LAUNCHER.find_left(parent, str(directory))
            if left is None:
                raise
            pid = left
        program = _Program(pid, channel, (stdout, stderr), kept, parent)
        kept.callback(program.release)
        yield program


def _pipe(kept: ExitStack, handed: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    kept.callback(os.close, reading)
    handed.callback(os.close, writing)
    return reading, writing


def _order(channel: socket.socket, order: bytes, name: str, parent: int) -> int:
    reply = b""
    LAUNCHER.wake(parent)
    channel.settimeout(_ANSWER_S)
    try:
        with suppress(ConnectionError):
            channel.sendall(order)
            reply = channel.recv(launcher.REPLY.size)
    except TimeoutError as error:
        LAUNCHER.replace(parent)
        raise LauncherError(
            errno.ETIMEDOUT, "the launcher, which starts it, did not answer; try again"
        ) from error
    finally:
        channel.settimeout(None)
    if len(reply) != launcher.REPLY.size:
        raise LauncherError(
            errno.ECONNRESET, "the launcher, which starts it, was killed; try again"
        )
    what, number = launcher.REPLY.unpack(reply)
    if what == launcher.REFUSED:
        raise OSError(number, os.strerror(number), name)
    return int(number)


class _Program:
    """A program that was started, and the channel to the launcher for it."""

    def __init__(
        self,
        pid: int,
        channel: socket.socket,
        outputs: tuple[int, int],
        kept: ExitStack,
        parent: int,
    ) -> None:
        self.channel = channel
        self.outputs = outputs
        self.returncode: int | None = None
        self.is_lost = False  # the launcher is gone: nothing watches over the program now
        self._pid = pid
        self._parent = parent  # the launcher's process id
        self._silent_since: float | None = None  # ended, but the launcher has not said so
        # While the launcher lives, the process id cannot be reused. The handle is for afterwards.
        self._handle: int | None = None
        with suppress(AttributeError, OSError):  # not every version or sandbox of Linux has it
            self._handle = os.pidfd_open(pid)
            kept.callback(os.close, self._handle)

    def receive(self) -> None:
        """Take the exit status from the launcher, or learn that the launcher was killed."""
        reply = b""
        with suppress(ConnectionError):
            reply = self.channel.recv(launcher.REPLY.size)
        if len(reply) == launcher.REPLY.size:
            self.returncode = launcher.REPLY.unpack(reply)[1]
        else:
            self.is_lost = True

    def has_ended(self) -> bool:
        if self.returncode is not None:
            return True
        is_gone = self._is_gone()
        if is_gone and not self.is_lost:
            self._expect_word()
        return self.is_lost and is_gone

    def _expect_word(self) -> None:
        """Replace a launcher that does not say that the program has ended: it hangs."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
            LAUNCHER.wake(self._parent)
        elif now - self._silent_since > _ANSWER_S:
            LAUNCHER.replace(self._parent)
            self.is_lost = True

    def send(self, number: signal.Signals) -> None:
        """Send SIGKILL to the whole group, any other signal to the leader."""
        if not self.is_lost:
            LAUNCHER.wake(self._parent)
            with suppress(ConnectionError):
                self.channel.sendall(bytes([number]))
                if number != signal.SIGKILL:
                    return
        # A launcher that hangs passes nothing on: a process that must end is killed from here, too.
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._pid, number)
            elif self._handle is None:
                os.kill(self._pid, number)
            else:
                signal.pidfd_send_signal(self._handle, number)

    def release(self) -> None:
        """Kill the rest of the group; return when the launcher has done so."""
        if self.is_lost:
            self.send(signal.SIGKILL)
        LAUNCHER.wake(self._parent)
        self.channel.settimeout(_ANSWER_S)
        try:
            with suppress(ConnectionError):
                self.channel.sendall(bytes([launcher.RELEASE]))
                while self.channel.recv(launcher.REPLY.size):
                    pass  # the exit status, if nobody has read it
        except TimeoutError:
            LAUNCHER.replace(self._parent)
            self.is_lost = True
            self.send(signal.SIGKILL)

    def _is_gone(self) -> bool:
        if self._handle is not None:
            poll = select.poll()  # select takes no descriptor above 1023
            poll.register(self._handle, select.POLLIN)
            return bool(poll.poll(0))
        with suppress(ProcessLookupError):
            os.kill(self._pid, 0)
            return False
        return True


def _pump(program: _Program, on_stdout: TakeText, on_stderr: TakeText, stop: Stop) -> None:
    """Read both pipes until they end, or until ``_DRAIN_S`` after the leader has ended."""
    with selectors.DefaultSelector() as selector:
        for output, take in zip(program.outputs, (on_stdout, on_stderr), strict=True):
            selector.register(output, selectors.EVENT_READ, Lines(take))
        selector.register(program.channel, selectors.EVENT_READ)
        _read_ready(selector, program)
        while not program.has_ended():
            stop.act()
            _read_ready(selector, program)
        _drain(selector, program)


def _drain(selector: selectors.BaseSelector, program: _Program) -> None:
    deadline = time.monotonic() + _DRAIN_S
    while selector.get_map() and time.monotonic() < deadline:
        _read_ready(selector, program)
    for key in selector.get_map().values():
        key.data.end()


def _read_ready(selector: selectors.BaseSelector, program: _Program) -> None:
    for key, _events in selector.select(_TICK_S):
        if key.fileobj is program.channel:
            selector.unregister(key.fileobj)
            program.receive()
        elif data := os.read(key.fd, PIECE):
            key.data.feed(data)
        else:
            selector.unregister(key.fileobj)
            key.data.end()
