"""The sandbox of Landlock: rules for files and signals, where namespaces are not allowed.

A command sees the names of all files and the processes of the host, but can open only what it is
given. It is weaker than bubblewrap: see ``docs/security.md`` for what it cannot do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from provisioner.host.sandbox.confinement import Confinement
from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.ownership import build_user, give
from provisioner.host.sandbox.paths import SharedPaths, without_hidden
from provisioner.host.sandbox.port import Confined, SandboxError, SandboxKind, Scope
from provisioner.host.sandbox.restriction import MINIMUM_ABI, READ, WRITE, Rule, abi
from provisioner.host.sandbox.system import ROOTS, SETTINGS

_DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom"))
# Nothing about other processes: their command lines may contain secrets.
_KERNEL = tuple(
    Path("/proc", name)
    for name in ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")
)


class Landlock:
    """Confines commands by Landlock. Safe for any number of threads."""

    kind = SandboxKind.LANDLOCK

    def __init__(self, *, shared: SharedPaths, limits: Limits) -> None:
        """Ask the kernel.

        Raises:
            SandboxError: the kernel does not have it, or too old a version of it.
        """
        try:
            found = abi()
        except OSError as error:
            raise SandboxError(f"the kernel does not offer it ({error.strerror})") from error
        if found < MINIMUM_ABI:
            raise SandboxError("the kernel's version is too old; Linux 6.2 is needed")
        self._limits = limits
        self._shared = shared
        self._base = (*_rules((*ROOTS, *SETTINGS, *_KERNEL), READ), *_rules(_DEVICES, WRITE))

    def confine(self, command: Sequence[str], scope: Scope) -> Confined:
        """Return the command, with the rules for the guard to set."""
        shared = self._shared
        user = None if shared.keeps_user else build_user(scope.cwd)
        if user is not None:
            give(scope.writable, user)
        return Confined(
            command=tuple(command),
            confinement=Confinement(
                limits=self._limits,
                user=user,
                folders=[str(path) for path in scope.writable],
                rules=(
                    *self._base,
                    *_rules(without_hidden(shared.readable, shared.hidden), READ),
                    *_rules(without_hidden(shared.writable, shared.hidden), WRITE),
                    *_rules(scope.readable, READ),
                    *_rules(scope.writable, WRITE),
                ),
            ),
        )


def _rules(paths: Iterable[Path], access: int) -> Iterator[Rule]:
    return ((str(path), access) for path in paths)
