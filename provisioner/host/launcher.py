"""The small process that starts programs for a worker and watches over them.

Each worker process has one launcher. ``provisioner.host.process`` starts it as a separate script
that imports little: of this project only what guards a sandbox. A worker of 150 MB needed 11 ms
to run ``true`` by forking itself; with the launcher it needs 1.1 ms.

A program of a sandbox gets a guard: a fork of the launcher that stands between the two (see
``provisioner.host.sandbox.guard``). For the launcher the guard is the program.

The launcher outlives its worker while a program runs. Each program then gets one SIGINT, because
Terraform takes a second one as an order to drop everything. The launcher reads its output until
it has ended: otherwise Terraform would die of a broken pipe in the middle of an apply, before it
has written the state. The parent-death signal of Linux is not used: after a SIGINT it would be
the second one.

The worker sends ``HEAD`` with five descriptors over the one socket that they share: one end of a
channel for this program, the writing ends of the program's two pipes, and their reading ends.
The rest goes over the channel. The worker sends the order, whose length is in the head; the
launcher answers ``STARTED`` or ``REFUSED``, and later ``ENDED``. The worker sends signals, a byte
each, and ``RELEASE`` as the last byte. The launcher then kills the program's process group and
closes the channel. A channel that ends without ``RELEASE`` means that the worker has died.
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
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

if __name__ == "__main__":  # started with -I, so that only the standard library is on the path
    sys.path.append(__file__.rpartition("/provisioner/")[0] or "/")

from provisioner.host.program import IGNORED, Program, spawn
from provisioner.host.sandbox import guard, processes
from provisioner.host.sandbox.confinement import Confinement, unpack

HEAD = struct.Struct("=I")  #: length of the order in bytes
REPLY = struct.Struct("=Bi")  #: what happened, and its number
STARTED = 0  #: with the process id, which leads its own session and process group
REFUSED = 1  #: with the error number
ENDED = 2  #: with the exit status; negative: the signal that ended it
RELEASE = 0  #: not the number of any signal

_PIECE = 64 * 1024
_HANDED = 5  # descriptors with each order


def pack_order(
    command: Sequence[str],
    cwd: str,
    environment: Mapping[str, str],
    confinement: Confinement | None = None,
) -> bytes:
    """Return the order to start ``command``, under a guard if it is confined."""
    named = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
    words = [os.fsencode(word) for word in command]
    packed = None if confinement is None else confinement.pack()
    return marshal.dumps((words, os.fsencode(cwd), named, packed))


def main() -> None:
    """Serve the worker at the other end of standard input until it and its programs have ended."""
    _close_inherited()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    Launcher(socket.socket(fileno=0)).serve()


def _close_inherited() -> None:
    """Close descriptors that the worker inherited; exec has closed those that Python opened."""
    names = []
    with suppress(OSError):  # no /proc: such descriptors are rare enough
        names = os.listdir("/dev/fd")  # noqa: PTH208 -- importing pathlib takes too long here
    for descriptor in map(int, names):
        if descriptor > 2:
            with suppress(OSError):  # the descriptor of the listing itself is closed already
                os.close(descriptor)


class Launcher:
    """Starts programs for one worker. It is a single thread and must never wait for a program."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._has_worker = True
        self._has_guards = False
        self._programs: set[Program] = set()
        self._selector = selectors.DefaultSelector()
        self._watch(worker.fileno(), self._take_order)
        self._watch(_children(), self._check_children)

    def serve(self) -> None:
        """Run until the worker is gone and its last program has ended."""
        while self._has_worker or self._programs:
            for key, _events in self._selector.select():
                # An earlier event may have closed the descriptor, or even reused its number.
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
            channel, stdout, stderr, *outputs = descriptors
            self._start(HEAD.unpack(head)[0], channel, (stdout, stderr), outputs)
        else:  # this process has too many descriptors; the worker finds its channel closed
            _close(*descriptors)

    def _lose_worker(self) -> None:
        self._has_worker = False
        self._selector.unregister(self._worker)
        self._worker.close()
        # A process that reads the worker's standard error must not wait for this one.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        for program in tuple(self._programs):
            self._orphan(program)

    def _start(
        self, length: int, channel: int, ends: tuple[int, int], outputs: Sequence[int]
    ) -> None:
        try:
            order = _read(channel, length)
            command, directory, environment, packed = marshal.loads(order)  # noqa: S302
            if packed is None:
                pid = spawn(command, directory, environment, ends)
            else:
                self._adopt_orphans()
                pid = guard.spawn(
                    command, directory, environment, (*ends, *outputs), unpack(packed)
                )
        except OSError as error:
            _reply(channel, REFUSED, error.errno or errno.EIO)
            _close(channel, *outputs)
        else:
            program = Program(pid, directory, channel, outputs)
            self._programs.add(program)
            self._watch(channel, functools.partial(self._take_signals, program))
            _reply(channel, STARTED, pid)
        finally:
            _close(*ends)

    def _adopt_orphans(self) -> None:
        if not self._has_guards:
            guard.adopt_orphans()
            self._has_guards = True

    def _take_signals(self, program: Program, channel: int) -> None:
        numbers = b""
        with suppress(ConnectionResetError):  # the worker died before it had read everything
            numbers = os.read(channel, _PIECE)
        if not numbers:
            self._orphan(program)
        for number in numbers:
            if number == RELEASE:
                self._release(program)
            else:
                program.signal(number)

    def _release(self, program: Program) -> None:
        program.is_released = True
        program.signal(signal.SIGKILL)
        self._settle(program)

    def _orphan(self, program: Program) -> None:
        if program.is_orphan:
            return
        program.is_orphan = True
        self._selector.unregister(program.channel)
        program.free_reserve()
        if not program.is_interrupted and not program.has_ended:
            program.signal(signal.SIGINT)
        for output in program.outputs:
            self._watch(output, functools.partial(self._discard, program))
        self._settle(program)

    def _discard(self, program: Program, output: int) -> None:
        if not os.read(output, _PIECE):
            self._selector.unregister(output)
            program.outputs.remove(output)
            os.close(output)

    def _check_children(self, children: int) -> None:
        os.read(children, _PIECE)
        if self._has_guards:
            self._end_strays()
        for program in tuple(self._programs):
            if program.has_ended:
                continue
            status = program.status()
            if status is not None:
                program.has_ended = True
                _reply(program.channel, ENDED, status)
                self._settle(program)

    def _end_strays(self) -> None:
        """Kill and reap what a guard that was killed has left to this process."""
        known = {program.pid for program in self._programs}
        for pid in set(processes.children_of(os.getpid())) - known:
            with suppress(ProcessLookupError, PermissionError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)

    def _settle(self, program: Program) -> None:
        """Forget a finished program: kill the rest of its group, reap it, close its descriptors."""
        if not program.is_finished:
            return
        program.reap()
        self._programs.remove(program)
        for descriptor in (*program.outputs, program.channel):
            if self._selector.get_map().get(descriptor):
                self._selector.unregister(descriptor)
            os.close(descriptor)


def _children() -> int:
    """Return a descriptor that becomes readable when a child has ended."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reading


def _read(descriptor: int, length: int) -> bytes:
    """Read a whole order, which the worker is writing.

    Raises:
        ConnectionResetError: the worker died.
    """
    order = bytearray()
    while len(order) < length:
        piece = os.read(descriptor, length - len(order))
        if not piece:
            raise ConnectionResetError
        order += piece
    return bytes(order)


def _reply(channel: int, what: int, number: int) -> None:
    with suppress(OSError):  # the worker died, which _take_signals handles
        os.write(channel, REPLY.pack(what, number))


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    main()
