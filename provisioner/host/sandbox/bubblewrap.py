"""The sandbox of bubblewrap: namespaces in which the rest of the host does not exist.

A command gets its own process, mount, IPC and host name namespace, and no capability: by a user
namespace, or as a user of its own if the worker is root. It shares the network. With it ends
everything that it started, because its process namespace ends.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from provisioner.host.sandbox.confinement import Confinement
from provisioner.host.sandbox.guard import FILTER_END
from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.ownership import build_user, give
from provisioner.host.sandbox.paths import SharedPaths
from provisioner.host.sandbox.port import Confined, SandboxError, SandboxKind, Scope
from provisioner.host.sandbox.syscalls import filter_program
from provisioner.host.sandbox.system import ROOTS, SETTINGS

_NAMESPACES = (
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
# What is needed to enter the work directory, and to become the user of the build. setpriv then
# gives up all of it.
_PRIVILEGES_OF_ROOT = (
    *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"),
    *("--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_DAC_READ_SEARCH"),
)
_SHARED_MEMORY_BYTES = 64 * 1024**2  # as in containers; nobody counts what is in there
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
        self._setpriv = _program("setpriv") if os.geteuid() == 0 else ""
        self._shared = shared
        self._limits = limits
        self._base = (
            *_NAMESPACES,
            *(_PRIVILEGES_OF_ROOT if self._setpriv else ("--unshare-user",)),
            *("--die-with-parent", "--new-session"),
            *_filter(),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--perms", "1777", "--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108 -- of the sandbox
            *("--remount-ro", "/dev"),
            *chain.from_iterable(map(_system_root, ROOTS)),
            *_make_folders_above(filter(Path.exists, SETTINGS)),
            *chain.from_iterable(map(_optional, filter(Path.exists, SETTINGS))),
        )

    def confine(self, command: Sequence[str], scope: Scope) -> Confined:
        """Return the command line of bubblewrap."""
        folders = (*scope.writable, *(() if scope.tmp is None else (scope.tmp,)))
        user = None if self._shared.keeps_user else build_user(scope.cwd)
        if user is not None:
            give(folders, user)
        return Confined(
            command=(
                self._program,
                *self._base,
                *self._binds(scope),
                *_name_of(user, scope),
                # What no other file system covers is in memory, where nobody counts it.
                *("--remount-ro", "/"),
                *("--chdir", str(scope.cwd), "--"),
                *(self._without_privileges(user) if self._setpriv else self._in_namespace()),
                *command,
            ),
            confinement=Confinement(
                depth=_DEPTH,
                limits=self._limits,
                folders=tuple(map(str, folders)),
                user=user,
                is_namespaced=True,
            ),
        )

    def _in_namespace(self) -> tuple[str, ...]:
        # The limit counts what runs in this user namespace only if it is set inside.
        return (self._prlimit, f"--nproc={self._limits.processes}", "--")

    def _without_privileges(self, user: int | None) -> tuple[str, ...]:
        """Give up those of root, and become the user of the build if it has one."""
        become = () if user is None else (f"--reuid={user}", f"--regid={user}", "--clear-groups")
        return (
            self._setpriv,
            *become,
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--"),
        )

    def _binds(self, scope: Scope) -> Iterator[str]:
        if scope.tmp is not None:  # first, because other paths may be below /tmp
            yield from ("--bind", str(scope.tmp), "/tmp")  # noqa: S108 -- of the sandbox
        yield from _show(self._shared.readable, self._shared.writable)
        for path in self._shared.hidden:
            if any(path.is_relative_to(shown) for shown in self._shown):
                yield from ("--perms", "0755", "--tmpfs", str(path))
        yield from _show(scope.readable, scope.writable)
        for path in scope.protected:
            yield from ("--ro-bind", str(path), str(path))

    @property
    def _shown(self) -> tuple[Path, ...]:
        return (*self._shared.readable, *self._shared.writable)


def _filter() -> tuple[str, ...]:
    is_known = filter_program(has_own_processes=True) is not None
    return ("--seccomp", str(FILTER_END)) if is_known else ()


def _show(readable: Sequence[Path], writable: Sequence[Path]) -> Iterator[str]:
    yield from _make_folders_above((*readable, *writable))
    for path in readable:
        yield from ("--ro-bind", str(path), str(path))
    for path in writable:
        yield from ("--bind", str(path), str(path))


def _make_folders_above(paths: Iterable[Path]) -> Iterator[str]:
    """Make the folders in which the paths are: if bubblewrap made them, only root could enter."""
    found = {
        folder: None  # in order, and each once
        for path in paths
        if not any(map(path.is_relative_to, ROOTS))
        for folder in reversed(path.parents[:-1])
    }
    for folder in found:
        yield from ("--dir", str(folder))


def _name_of(user: int | None, scope: Scope) -> tuple[str, ...]:
    """Give the user of a build a name: programs such as ssh refuse to run without one."""
    if user is None or scope.tmp is None:
        return ()
    passwd = scope.tmp.with_name("passwd")
    home = scope.tmp.with_name("home")
    passwd.write_text(f"root:x:0:0:root:/root:/bin/sh\nbuild:x:{user}:{user}::{home}:/bin/sh\n")
    passwd.chmod(0o644)
    return ("--ro-bind", str(passwd), "/etc/passwd")


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
