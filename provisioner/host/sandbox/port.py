"""The port of a sandbox: how to start a command so that it sees only what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from provisioner.host.sandbox.confinement import Confinement


class SandboxKind(StrEnum):
    """What confines the commands of templates."""

    BWRAP = "bwrap"  #: bubblewrap: namespaces of its own
    LANDLOCK = "landlock"  #: rules for files and signals, in the namespaces of the worker
    OFF = "off"  #: nothing


class SandboxMode(StrEnum):
    """What the operator wants."""

    AUTO = "auto"  #: the best that works, or none
    BWRAP = "bwrap"
    LANDLOCK = "landlock"
    OFF = "off"
    REQUIRED = "required"  #: the best that works; refuse to start without one


class SandboxError(Exception):
    """A sandbox does not work on this host; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What one command may see and change in addition to the system's programs and libraries.

    All paths exist, and none can be replaced by the template.
    """

    cwd: Path
    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    protected: tuple[Path, ...] = ()  #: folders inside ``writable`` that it must not change
    tmp: Path | None = None  #: the folder that it sees as ``/tmp``, if the sandbox can do that


@dataclass(frozen=True, kw_only=True)
class Confined:
    """A command that is ready to be started in a sandbox, with ``process.run``."""

    command: tuple[str, ...]
    confinement: Confinement | None = None


class Sandbox(Protocol):
    """Confines commands. Any number of threads may share one."""

    @property
    def kind(self) -> SandboxKind:
        """What confines the commands."""
        ...

    def confine(self, command: Sequence[str], scope: Scope) -> Confined:
        """Return how to start ``command``, whose first word is an absolute path."""
        ...


class NoSandbox:
    """Starts commands as they are."""

    kind = SandboxKind.OFF

    def confine(self, command: Sequence[str], scope: Scope) -> Confined:
        """Return the command."""
        del scope
        return Confined(command=tuple(command))
