"""The sandbox of bubblewrap: namespaces in which the rest of the host does not exist.

A command gets its own process, mount, IPC, host name and user namespace, and no capability. It
shares the network. With it ends everything that it started, because its process namespace ends.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from provisioner.host.sandbox.guard import Confinement
from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.paths import SharedPaths
from provisioner.host.sandbox.port import Confined, SandboxError, SandboxKind, Scope
from provisioner.host.sandbox.system import ROOTS, SETTINGS

_NAMESPACES = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
_DEPTH = 2  # bubblewrap itself, and the first process of the namespace, which reaps the others


class Bubblewrap:
    """Confines commands by bubblewrap. Safe for any number of threads."""

    kind = SandboxKind.BWRAP

    def __init__(self, *, shared: SharedPaths, limits: Limits) -> None:
        """Find the programs.

        Raises:
            SandboxError: bubblewrap is not installed.
        """
        self._program = _program("bwrap")
        self._prlimit = _program("prlimit")
        self._shared = shared
        self._limits = limits
        self._base = (
            *_NAMESPACES,
            *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *("--proc", "/proc", "--dev", "/dev"),
            *chain.from_iterable(map(_system_root, ROOTS)),
            *chain.from_iterable(map(_optional, SETTINGS)),
        )

    def confine(self, command: Sequence[str], scope: Scope) -> Confined:
        """Return the command line of bubblewrap."""
        return Confined(
            command=(
                self._program,
                *self._base,
                *self._binds(scope),
                *("--chdir", str(scope.cwd), "--"),
                # The limit counts what runs in this user namespace only if it is set inside.
                *(self._prlimit, f"--nproc={self._limits.processes}", "--"),
                *command,
            ),
            confinement=Confinement(depth=_DEPTH, limits=self._limits, folders=_folders(scope)),
        )

    def _binds(self, scope: Scope) -> Iterator[str]:
        if scope.tmp is not None:  # first, because other paths may be below /tmp
            yield from ("--bind", str(scope.tmp), "/tmp")  # noqa: S108 -- of the sandbox
        for path in (*self._shared.readable, *scope.readable):
            yield from ("--ro-bind", str(path), str(path))
        for path in (*self._shared.writable, *scope.writable):
            yield from ("--bind", str(path), str(path))
        for path in scope.protected:
            yield from ("--ro-bind", str(path), str(path))


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SandboxError(f"{name} is not installed")
    return str(Path(found).absolute())


def _system_root(path: Path) -> tuple[str, ...]:
    if path.is_symlink():
        return ("--symlink", str(path.readlink()), str(path))
    return _optional(path)


def _optional(path: Path) -> tuple[str, ...]:
    return ("--ro-bind-try", str(path), str(path))


def _folders(scope: Scope) -> tuple[str, ...]:
    tmp = () if scope.tmp is None else (str(scope.tmp),)
    return (*map(str, scope.writable), *tmp)
