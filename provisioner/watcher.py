"""What stands between this process and a program that it runs: a fork that watches the program.

It passes SIGINT on, and only once: a parent of many threads that is killed sends the
parent-death signal once for each thread that its child is handed on to, and to Terraform a
second SIGINT means to drop everything. And it holds the reading ends of the program's pipes,
and empties them once the parent is dead: Terraform would die of a broken pipe, in the middle of
an apply, before it has written the state.

Runs in the fork of a process with many threads: nothing here takes a lock or returns.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Sequence
from typing import NoReturn

HEARD = frozenset({signal.SIGINT, signal.SIGCHLD})
"""To be blocked before the program is started, so that none of them is missed."""

_TICK_S = 0.1
_PIECE = 64 * 1024


def watch(child: int, *, parent: int, outputs: Sequence[int]) -> NoReturn:
    """Watch the program until its end, and end as it does.

    Args:
        child: the program's process.
        parent: the process that wants to know of its end.
        outputs: the reading ends of the program's pipes.
    """
    _close_all_but(outputs)
    is_interrupted = False
    while True:
        # A parent that dies says so by SIGINT; only after one there is something to look for.
        heard = signal.sigtimedwait(HEARD, _TICK_S) if is_interrupted else signal.sigwaitinfo(HEARD)
        if heard and heard.si_signo == signal.SIGINT and not is_interrupted:
            is_interrupted = True
            os.kill(child, signal.SIGINT)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            _end_as(status)
        if is_interrupted and os.getppid() != parent:
            _empty(outputs)


def _close_all_but(kept: Sequence[int]) -> None:
    """Close what was inherited: the pipes have to end with the program."""
    first = 0
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _empty(outputs: Sequence[int]) -> None:
    for descriptor in outputs:
        os.set_blocking(descriptor, False)
        try:
            while os.read(descriptor, _PIECE):
                pass
        except BlockingIOError:
            continue


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program has left its own
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)
