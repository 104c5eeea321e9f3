"""The small process that starts programs in the worker's place, and watches over them.

One for each worker process, started by ``provisioner.host.process`` as a file of its own that
imports little, and nothing of ours. A worker of 150 MB needed 11 ms to run ``true`` by forks of
its own, and needs 1.1 ms by this.

It outlives its worker for as long as a program runs. Each of them then gets one SIGINT, for to
Terraform a second one means to drop everything, and its output is taken until it has ended:
Terraform would die of a broken pipe, in the middle of an apply, before it has written the state.
The parent-death signal of Linux is not used: it would be the second one where the first was sent.

The worker sends ``HEAD`` with five descriptors over the one socket that they share: an end of a
conversation about this program, the writing ends of the program's two pipes, and their reading
ends. All else goes over the conversation: the order of the head's length, to which ``STARTED``
or ``REFUSED`` is the answer, then ``ENDED``; and from the worker signals, a byte each, with
``RELEASE`` as the last. A released program's group is killed, and the conversation closed once
that is done. A conversation that ends without ``RELEASE`` tells of the worker's death.
"""

from __future__ import annotations

import errno
import functools
import marshal
import os
import selectors
import signal
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

HEAD = struct.Struct("=I")  #: length of the order in bytes
REPLY = struct.Struct("=Bi")  #: what happened, and its number
STARTED = 0  #: with the process id, which leads a session and a group of its own
REFUSED = 1  #: with the error number
ENDED = 2  #: with the exit status; negative: the signal that ended it
RELEASE = 0  #: no signal has this number

_PIECE = 64 * 1024
_HANDED = 5  # descriptors with each order
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# A daemon started with "&" by a script ignores SIGINT, and Python SIGPIPE: children inherit that.
_TO_DEFAULT = (*_IGNORED, signal.SIGPIPE, signal.SIGXFSZ)


def pack_order(command: Sequence[str], cwd: str, environment: Mapping[str, str]) -> bytes:
    """Return the order to start ``command``."""
    named = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
    return marshal.dumps(([os.fsencode(word) for word in command], os.fsencode(cwd), named))


def main() -> None:
    """Serve the worker at the other end of standard input until nothing is left to do."""
    _close_inherited()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in _IGNORED:  # whoever stops the whole service means the worker
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    Launcher(socket.socket(fileno=0)).serve()


def _close_inherited() -> None:
    """Close what the worker has from its own parent; to Python's descriptors exec did it."""
    names = []
    with suppress(OSError):  # no /proc: such descriptors are rare enough
        names = os.listdir("/dev/fd")  # noqa: PTH208 -- pathlib takes longer than all of this
    for descriptor in map(int, names):
        if descriptor > 2:
            with suppress(OSError):  # that of the listing itself
                os.close(descriptor)


class Program:
    """One program that was started."""

    def __init__(self, pid: int, conversation: int, outputs: Sequence[int]) -> None:
        self.pid = pid  # leads the group
        self.conversation = conversation
        self.outputs = set(outputs)  # reading ends
        self.is_interrupted = False
        self.is_orphan = False  # the worker is gone
        self.is_released = False  # nobody wants to know of its end
        # Not reaped yet, so that no other can get its id, nor its group's, before that is killed.
        self.has_ended = False


class Launcher:
    """Starts programs for one worker. A single thread: nothing here may wait for a program."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._has_worker = True
        self._programs: set[Program] = set()
        self._selector = selectors.DefaultSelector()
        self._watch(worker.fileno(), self._take_order)
        self._watch(_children(), self._look_for_ends)

    def serve(self) -> None:
        """Work until the worker is gone and its last program has ended."""
        while self._has_worker or self._programs:
            for key, _events in self._selector.select():
                # What came first may have closed it, or even put another in its place.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(key.fd)

    def _watch(self, descriptor: int, act: Callable[[int], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, act)

    def _take_order(self, _worker: int) -> None:
        head, descriptors, _flags, _address = socket.recv_fds(self._worker, HEAD.size, _HANDED)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if not head:
            self._lose_worker()
        elif len(descriptors) == _HANDED:
            conversation, stdout, stderr, *outputs = descriptors
            self._start(HEAD.unpack(head)[0], conversation, (stdout, stderr), outputs)
        else:  # this process has too many; the worker finds its conversation closed
            _close(*descriptors)

    def _lose_worker(self) -> None:
        self._has_worker = False
        self._selector.unregister(self._worker)
        self._worker.close()
        # Whoever reads the worker's standard error is not to wait for this process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        for program in tuple(self._programs):
            self._orphan(program)

    def _start(
        self, length: int, conversation: int, ends: tuple[int, int], outputs: Sequence[int]
    ) -> None:
        try:
            pid = _spawn(_read(conversation, length), ends)
        except OSError as error:
            _reply(conversation, REFUSED, error.errno or errno.EIO)
            _close(conversation, *outputs)
        else:
            program = Program(pid, conversation, outputs)
            self._programs.add(program)
            self._watch(conversation, functools.partial(self._take_signals, program))
            _reply(conversation, STARTED, pid)
        finally:
            _close(*ends)

    def _take_signals(self, program: Program, conversation: int) -> None:
        numbers = b""
        with suppress(ConnectionResetError):  # the worker died before it heard all
            numbers = os.read(conversation, _PIECE)
        if not numbers:
            self._orphan(program)
        for number in numbers:
            if number == RELEASE:
                self._release(program)
            else:
                _signal(program, number)

    def _release(self, program: Program) -> None:
        program.is_released = True
        _signal(program, signal.SIGKILL)
        self._settle(program)

    def _orphan(self, program: Program) -> None:
        if program.is_orphan:
            return
        program.is_orphan = True
        self._selector.unregister(program.conversation)
        if not program.is_interrupted and not program.has_ended:
            _signal(program, signal.SIGINT)
        for output in program.outputs:
            self._watch(output, functools.partial(self._discard, program))
        self._settle(program)

    def _discard(self, program: Program, output: int) -> None:
        if not os.read(output, _PIECE):
            self._selector.unregister(output)
            program.outputs.remove(output)
            os.close(output)

    def _look_for_ends(self, children: int) -> None:
        os.read(children, _PIECE)
        for program in tuple(self._programs):
            if program.has_ended:
                continue
            status = _status(program.pid)
            if status is not None:
                program.has_ended = True
                _reply(program.conversation, ENDED, status)
                self._settle(program)

    def _settle(self, program: Program) -> None:
        """Kill what is left of the group of a program that has ended, if nobody reads it."""
        if not program.has_ended or not (program.is_orphan or program.is_released):
            return
        _signal(program, signal.SIGKILL)
        with suppress(ChildProcessError):  # see _status
            os.waitpid(program.pid, 0)
        self._programs.remove(program)
        for descriptor in (*program.outputs, program.conversation):
            if self._selector.get_map().get(descriptor):
                self._selector.unregister(descriptor)
            os.close(descriptor)


def _children() -> int:
    """Return a descriptor that can be read when a child has ended."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reading


def _read(descriptor: int, length: int) -> bytes:
    """Read a whole order; the worker is about to write it.

    Raises:
        ConnectionResetError: it died instead.
    """
    order = bytearray()
    while len(order) < length:
        piece = os.read(descriptor, length - len(order))
        if not piece:
            raise ConnectionResetError
        order += piece
    return bytes(order)


def _spawn(order: bytes, ends: tuple[int, int]) -> int:
    command, cwd, environment = marshal.loads(order)  # noqa: S302 -- the worker's own words
    try:
        os.environb[b"PATH"] = environment.get(b"PATH", os.fsencode(os.defpath))  # looked through
        os.chdir(cwd)
        # The C library suspends this process until the program has begun, instead of copying it.
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
        os.chdir("/")  # who looks for the processes of a work directory is not to find this one


def _status(pid: int) -> int | None:
    """Return how a child has ended, None if it has not, without reaping it."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13: its id may be taken over too early
        ended, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None
    info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


def _signal(program: Program, number: int) -> None:
    """Send SIGKILL to the program's whole group, and anything else to its leader alone."""
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM when only zombies are left
        if number == signal.SIGKILL:
            os.killpg(program.pid, number)
        else:
            program.is_interrupted = True
            os.kill(program.pid, number)


def _reply(conversation: int, what: int, number: int) -> None:
    with suppress(OSError):  # the worker died; this is heard of elsewhere
        os.write(conversation, REPLY.pack(what, number))


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    main()
