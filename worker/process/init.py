"""The first process of a container: it ends only after Terraform has ended.

A container ends with its first process, and the kernel then kills all others. A worker that dies
leaves a launcher behind, under which Terraform still ends cleanly (``provisioner.host.launcher``):
this process waits for it. It also forwards signals to the worker and to no other process, reaps
orphaned processes, and exits with the worker's status.

    python -I -m worker.process.init provisionerd worker

It imports little, since it stays in memory as long as the worker does.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from provisioner.host import launcher
from worker.process.hardening import make_undumpable

GRACE_VARIABLE = "PROVISIONERD_INTERRUPT_GRACE_SECONDS"
DEFAULT_GRACE_S = 300.0
"""How long Terraform may take to end; the setting's default (a test compares them)."""
CANNOT_START = 127

_FORWARDED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
_TAKEN = {*_FORWARDED, signal.SIGCHLD}
# Python ignores the first two, and a parent such as nohup ignores others: children inherit that.
_TO_DEFAULT = {signal.SIGPIPE, signal.SIGXFSZ, *_FORWARDED}
_IMMEDIATE_S = 1.0  # a launcher without a running child ends within milliseconds
_PR_SET_CHILD_SUBREAPER = 36


def main(command: Sequence[str]) -> int:
    """Run ``command``, wait for the launchers that it leaves, and return its exit status.

    As in a shell, the status of a command that a signal ended is 128 plus the signal's number.
    Launchers get ``PROVISIONERD_INTERRUPT_GRACE_SECONDS`` to end.
    """
    if not command:
        sys.stderr.write("Error: name the command to run, such as `provisionerd worker`\n")
        return CANNOT_START
    make_undumpable()
    _adopt_orphans()
    # Blocked signals stay pending until they are taken below, so none is lost.
    inherited = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
    try:
        pid = os.posix_spawnp(
            command[0], list(command), os.environ, setsigmask=inherited, setsigdef=_TO_DEFAULT
        )
    except OSError as error:
        sys.stderr.write(f"Error: {command[0]} cannot be started: {error.strerror}\n")
        return CANNOT_START
    status = _run_to_end(pid)
    _wait_for_launchers(_grace_s())
    return status if status >= 0 else 128 - status


def _adopt_orphans() -> None:
    """Become the parent of every orphan below this process; process 1 always is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _run_to_end(pid: int) -> int:
    """Forward signals to the worker until it ends; return its status, negative for a signal."""
    while True:
        taken = signal.sigwaitinfo(_TAKEN)
        if taken.si_signo == signal.SIGCHLD:
            status = _reap().get(pid)
            if status is not None:
                return status
        # A terminal sends its signals to the worker too: a second one would end the drain.
        elif taken.si_code <= 0:
            os.kill(pid, taken.si_signo)


def _wait_for_launchers(grace_s: float) -> None:
    if _launchers_end(_IMMEDIATE_S):
        return
    _log("init.waiting", seconds=grace_s)
    _log("init.waited" if _launchers_end(grace_s) else "init.gave_up")


def _launchers_end(within_s: float) -> bool:
    """Wait until every launcher has ended; return whether they ended in time."""
    end = time.monotonic() + within_s
    while any(launchers()):
        left = end - time.monotonic()
        if left <= 0:
            return False
        signal.sigtimedwait(_TAKEN, left)
        _reap()
    return True


def _reap() -> dict[int, int]:
    """Return the status of every child that has ended, by process ID."""
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    return ended


def launchers() -> Iterator[int]:
    """Yield the launchers below this process (Linux)."""
    parents = dict(_parents())
    for pid in parents:
        if _is_below(pid, parents) and _command_line(pid)[-1:] == [os.fsencode(launcher.__file__)]:
            yield pid


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            # A program's name may contain anything, but the fields after it have no bracket.
            _state, parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:2]
            yield int(entry.name), int(parent)


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    seen = set()
    while pid in parents and pid not in seen:
        seen.add(pid)
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False


def _command_line(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    return []


def _grace_s() -> float:
    try:
        return float(os.environ[GRACE_VARIABLE])
    except (KeyError, ValueError):  # the worker itself refuses an invalid value
        return DEFAULT_GRACE_S


def _log(event: str, **fields: float) -> None:
    """Write an event in the worker's log format."""
    if os.environ.get("PROVISIONERD_LOG_FORMAT") == "json":
        line = json.dumps({**fields, "event": event, "level": "warning", "logger": "worker"})
    else:
        line = " ".join([event, *(f"{name}={value:g}" for name, value in fields.items())])
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
