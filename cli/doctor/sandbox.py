"""The check of the sandbox by ``provisionerd doctor``."""

from __future__ import annotations

from collections.abc import Iterator

from cli.doctor.result import CheckResult, ok, problem, warning
from db.schema.enums import ProvisionerType
from provisioner.host.sandbox.port import SandboxKind, SandboxMode
from worker.process.services import sandbox_choice
from worker.settings import Settings, SettingsError

_FIX = (
    "Install bubblewrap, and allow user namespaces (docs/security.md says how for each deployment)."
)


def check_sandbox(settings: Settings) -> Iterator[CheckResult]:
    """Check which sandbox confines the commands of templates, by trying it."""
    if ProvisionerType.TERRAFORM not in settings.engines:
        yield ok("sandbox", "not needed (PROVISIONERD_ENGINES)")
        return
    try:
        choice = sandbox_choice(settings)
    except SettingsError as error:
        yield problem("sandbox", str(error), _FIX)
        return
    if settings.sandbox is SandboxMode.OFF:
        yield warning("sandbox", _unconfined("turned off"), "Unset PROVISIONERD_SANDBOX.")
    elif choice.sandbox.kind is SandboxKind.OFF:
        yield warning("sandbox", _unconfined(choice.reason), _FIX)
    elif choice.reason:
        found = f"{choice.sandbox.kind} confines templates, because {choice.reason}"
        yield warning("sandbox", found, _FIX)
    else:
        yield ok("sandbox", f"{choice.sandbox.kind} confines templates")


def _unconfined(reason: str) -> str:
    return f"templates can read and change what the worker's user can ({reason})"
