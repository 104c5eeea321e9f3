"""Whether workers of this machine run Terraform in a sandbox."""

from __future__ import annotations

from functools import cache

from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.paths import SharedPaths
from provisioner.host.sandbox.port import NoSandbox, SandboxMode
from provisioner.host.sandboxes import choose_sandbox

LIMITS = Limits(memory_bytes=2**31, processes=500, open_files=1000, disk_bytes=2**30)


@cache
def has_sandbox() -> bool:
    """Return whether one works here."""
    chosen = choose_sandbox(SandboxMode.AUTO, shared=SharedPaths(), limits=LIMITS)
    return not isinstance(chosen.sandbox, NoSandbox)
