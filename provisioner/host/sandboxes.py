"""The sandboxes of this host: which of them works, and which is the best."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from provisioner.host import process
from provisioner.host.interrupt import Interrupt
from provisioner.host.sandbox.bubblewrap import Bubblewrap
from provisioner.host.sandbox.landlock import Landlock
from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.paths import SharedPaths
from provisioner.host.sandbox.port import (
    NoSandbox,
    Sandbox,
    SandboxError,
    SandboxKind,
    SandboxMode,
    Scope,
)

_TIMEOUT = timedelta(seconds=30)


Make = Callable[[SharedPaths, Limits], Sandbox]

_MAKERS: Mapping[SandboxKind, Make] = {
    SandboxKind.BWRAP: lambda shared, limits: Bubblewrap(shared=shared, limits=limits),
    SandboxKind.LANDLOCK: lambda shared, limits: Landlock(shared=shared, limits=limits),
}
"""The best first."""

_CANDIDATES: Mapping[SandboxMode, tuple[SandboxKind, ...]] = {
    SandboxMode.AUTO: tuple(_MAKERS),
    SandboxMode.REQUIRED: tuple(_MAKERS),
    SandboxMode.BWRAP: (SandboxKind.BWRAP,),
    SandboxMode.LANDLOCK: (SandboxKind.LANDLOCK,),
    SandboxMode.OFF: (),
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The sandbox that was chosen."""

    sandbox: Sandbox
    reason: str = ""  #: why a better one was not chosen; empty if there is none


def choose_sandbox(mode: SandboxMode, *, shared: SharedPaths, limits: Limits) -> Choice:
    """Return the best sandbox that the mode allows, after trying it.

    Raises:
        SandboxError: the mode demands a sandbox, and none works; the message says why.
    """
    reasons: list[str] = []
    for kind in _CANDIDATES[mode]:
        try:
            sandbox = _MAKERS[kind](shared, limits)
            check_sandbox(sandbox)
        except SandboxError as error:
            reasons.append(f"{kind}: {error}")
        else:
            return Choice(sandbox=sandbox, reason="; ".join(reasons))
    if mode not in {SandboxMode.AUTO, SandboxMode.OFF}:
        raise SandboxError("; ".join(reasons))
    return Choice(sandbox=NoSandbox(), reason="; ".join(reasons))


def check_sandbox(sandbox: Sandbox) -> None:
    """Run a command in the sandbox that does nothing.

    Raises:
        SandboxError: it does not work; the message is what the sandbox said.
    """
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="provisionerd-") as folder:
        cwd = Path(folder)
        confined = sandbox.confine(("/bin/true",), Scope(cwd=cwd, writable=(cwd,)))
        try:
            ended = process.run(
                confined.command,
                cwd=cwd,
                environment={"PATH": os.defpath},
                on_stdout=said.append,
                on_stderr=said.append,
                interrupt=Interrupt(),
                timeout=_TIMEOUT,
                grace=timedelta(),
                confinement=confined.confinement,
            )
        except OSError as error:
            raise SandboxError(process.reason_of(error)) from error
    if ended.returncode != 0:
        raise SandboxError("".join(said).strip() or f"exit status {ended.returncode}")
