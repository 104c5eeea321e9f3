"""Run one child process under watch. The only module that starts processes.

The child leads a process group of its own, so that a Ctrl+C in the operator's
terminal does not reach it, and nothing of that group outlives the call. On Linux
the group's leader is a fork of this process that watches the program, so that
it ends in order if this process dies (see ``provisioner.watcher``).
"""

from __future__ import annotations

import codecs
import ctypes
import functools
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from provisioner.engine import Interrupt, InterruptReason
from provisioner.watcher import HEARD, watch

PIECE = 64 * 1024
"""A longer line is handed over in pieces of this many characters."""

_TICK_S = 0.1  # how late an interrupt may be noticed
_SHORT_TICK_S = 0.002  # between the end of the output and that of the process
_DRAIN_S = 1.0  # what is in the pipes when the leader ends is read within milliseconds
_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

TakeText = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended."""

    returncode: int  #: negative: the signal that ended it
    signals: tuple[signal.Signals, ...] = ()  #: what ``run`` sent before the end, in order
    interrupted: InterruptReason | None = None  #: why SIGINT was sent, None if it was not

    @property
    def killed(self) -> bool:
        """Whether the process did not end by itself within its grace."""
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
    than ``PIECE``, pieces without one before the last. Invalid UTF-8 is replaced, a carriage
    return before the line end dropped.

    An interrupt, or ``timeout`` (which requests ``InterruptReason.DEADLINE`` on ``interrupt``),
    sends SIGINT to the leader alone and only once: to Terraform a second one means to drop
    everything. After ``grace`` the whole group is killed. If this process dies, the child gets
    SIGINT from the kernel (Linux).

    Raises:
        OSError: the command can not be started.
    """
    with _started(command, cwd, environment) as process:
        stop = _Stop(process.pid, interrupt, timeout, grace)
        _pump(process, on_stdout, on_stderr, stop)
    return Exit(
        returncode=process.returncode,
        signals=tuple(stop.signals),
        interrupted=interrupt.reason if stop.signals else None,
    )


@contextmanager
def _started(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    process = _SPAWNER.start(command, cwd, environment)
    try:
        yield process
    finally:
        # The leader is not reaped yet, so its id, which names the group, can not be taken over.
        _kill_group(process.pid)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM when only zombies are left
        os.killpg(leader, signal.SIGKILL)


def _pump(
    process: subprocess.Popen[bytes], on_stdout: TakeText, on_stderr: TakeText, stop: _Stop
) -> None:
    """Read both pipes until they end, or until ``_DRAIN_S`` after the leader did."""
    drained_at: float | None = None
    with selectors.DefaultSelector() as selector:
        for pipe, take in ((process.stdout, on_stdout), (process.stderr, on_stderr)):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, _Lines(take))
        while drained_at is None or (selector.get_map() and time.monotonic() < drained_at):
            _read_ready(selector)
            if drained_at is None and _has_ended(process):
                drained_at = time.monotonic() + _DRAIN_S
            if drained_at is None:
                stop.act()
        for key in selector.get_map().values():
            key.data.end()


def _read_ready(selector: selectors.BaseSelector) -> None:
    for key, _events in selector.select(_TICK_S if selector.get_map() else _SHORT_TICK_S):
        data = os.read(key.fd, PIECE)
        if data:
            key.data.feed(data)
        else:
            selector.unregister(key.fileobj)
            key.data.end()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Look without reaping where the system allows it (see ``_started``)."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, options) is not None


class _Stop:
    """Sends what is due to a running process: SIGINT once, SIGKILL to its group after the grace."""

    def __init__(
        self, leader: int, interrupt: Interrupt, timeout: timedelta, grace: timedelta
    ) -> None:
        self._leader = leader
        self._interrupt = interrupt
        self._deadline = time.monotonic() + timeout.total_seconds()
        self._grace_s = grace.total_seconds()
        self.signals: list[signal.Signals] = []

    def act(self) -> None:
        is_due = time.monotonic() >= self._deadline
        if not self.signals:
            if is_due:
                self._interrupt.request(InterruptReason.DEADLINE)
            if self._interrupt.is_set():
                self.signals.append(signal.SIGINT)
                os.kill(self._leader, signal.SIGINT)
                self._deadline = time.monotonic() + self._grace_s
        elif (is_due or self._is_overdue()) and signal.SIGKILL not in self.signals:
            self.signals.append(signal.SIGKILL)
            _kill_group(self._leader)

    def _is_overdue(self) -> bool:
        """Whether the interrupt itself leaves less time than the grace."""
        kill_at = self._interrupt.kill_at
        return kill_at is not None and time.monotonic() >= kill_at


class _Lines:
    """Cuts a stream of bytes into lines, holding at most ``PIECE`` characters between calls."""

    def __init__(self, take: TakeText) -> None:
        self._take = take
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        for line in lines:
            self._take(self._without_head(line).rstrip("\r") + "\n")
        self._rest = self._without_head(self._rest)

    def end(self) -> None:
        self._rest += self._decoder.decode(b"", final=True)
        if self._rest:
            self._take(self._rest.rstrip("\r") + "\n")

    def _without_head(self, line: str) -> str:
        """Hand over whole pieces of ``line``; return what is left, at most one piece."""
        while len(line) > PIECE:
            self._take(line[:PIECE])
            line = line[PIECE:]
        return line


_Order = tuple[Callable[[], subprocess.Popen[bytes]], "Future[subprocess.Popen[bytes]]"]


class _Spawner:
    """The one thread of this process that forks.

    Linux sends the parent-death signal when the *thread* that forked ends, so a pool's thread
    that comes and goes would interrupt a healthy apply. Made anew after a fork (prefork pools).
    """

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._orders: queue.SimpleQueue[_Order] | None = None

    def start(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        popen = functools.partial(_popen, list(command), cwd, dict(environment), os.getpid())
        made: Future[subprocess.Popen[bytes]] = Future()
        self._running().put((popen, made))
        return made.result()

    def _running(self) -> queue.SimpleQueue[_Order]:
        with self._lock:
            if self._orders is None:
                self._orders = queue.SimpleQueue()
                threading.Thread(
                    target=_serve, args=(self._orders,), name="spawner", daemon=True
                ).start()
            return self._orders


def _serve(orders: queue.SimpleQueue[_Order]) -> None:
    while True:
        popen, made = orders.get()
        try:
            made.set_result(popen())
        except BaseException as error:  # noqa: BLE001 -- raised again where the order came from
            made.set_exception(error)


def _popen(
    command: list[str], cwd: Path, environment: dict[str, str], parent: int
) -> subprocess.Popen[bytes]:
    (stdout, stdout_end), (stderr, stderr_end) = os.pipe(), os.pipe()
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout_end,
            stderr=stderr_end,
            start_new_session=True,
            # Python code between fork and exec is a risk where there are threads; this takes no
            # lock.
            preexec_fn=functools.partial(_before_exec, parent, (stdout, stderr)),  # noqa: PLW1509
        )
    except BaseException:
        os.close(stdout)
        os.close(stderr)
        raise
    finally:
        os.close(stdout_end)
        os.close(stderr_end)
    process.stdout = os.fdopen(stdout, "rb", buffering=0)
    process.stderr = os.fdopen(stderr, "rb", buffering=0)
    return process


def _before_exec(parent: int, outputs: tuple[int, int]) -> None:
    """Make sure that the program hears SIGINT, and outlives the parent until it has ended."""
    # A daemon started with "&" by a script ignores SIGINT, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if _PRCTL is None:
        return
    _interrupt_at_death_of(parent)
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    watcher, child = os.getpid(), os.fork()
    if child:
        watch(child, parent=parent, outputs=outputs)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
    _interrupt_at_death_of(watcher)


def _interrupt_at_death_of(parent: int) -> None:
    assert _PRCTL is not None
    _PRCTL(_PR_SET_PDEATHSIG, int(signal.SIGINT))
    if os.getppid() != parent:  # it died before the kernel knew of the wish
        os._exit(1)


_SPAWNER = _Spawner()
