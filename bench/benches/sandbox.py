"""What a sandbox adds to each command of a template, against the same command without one."""

from __future__ import annotations

import os
import statistics
import tempfile
from datetime import timedelta
from pathlib import Path

from bench.measure import Result, quantile, timed
from bench.services import Services
from provisioner.host import process
from provisioner.host.interrupt import Interrupt
from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.paths import SharedPaths
from provisioner.host.sandbox.port import NoSandbox, Sandbox, SandboxError, SandboxMode, Scope
from provisioner.host.sandboxes import choose_sandbox

COMMAND = ("/bin/true",)
LIMITS = Limits(memory_bytes=2**32, disk_bytes=2**33, processes=2048, open_files=8192)


def run(services: Services, rounds: int = 100) -> list[Result]:
    del services
    with tempfile.TemporaryDirectory(prefix="pd-bench-") as folder:
        scope = _scope(Path(folder))
        return [
            result
            for mode in (SandboxMode.BWRAP, SandboxMode.LANDLOCK)
            if (result := _measure(mode, scope, rounds)) is not None
        ]


def _scope(folder: Path) -> Scope:
    template, home, tmp = (folder / name for name in ("template", "home", "tmp"))
    folder.chmod(0o711)
    for path in (template, home, tmp):
        path.mkdir()
    return Scope(cwd=template, writable=(template, home), tmp=tmp)


def _measure(mode: SandboxMode, scope: Scope, rounds: int) -> Result | None:
    try:
        sandbox = choose_sandbox(mode, shared=SharedPaths(), limits=LIMITS).sandbox
    except SandboxError:
        return None
    pairs = [
        (timed(lambda: _run(sandbox, scope)), timed(lambda: _run(NoSandbox(), scope)))
        for _ in range(rounds)
    ]
    added = [(ours - theirs) * 1000 for ours, theirs in pairs]
    return Result(
        bench="sandbox",
        what=f"added to a command by {mode}, median of the pairs",
        unit="ms",
        ours=statistics.median(added),
        reach="<= 15",
        rounds=rounds,
        note=f"p25 {quantile(added, 0.25):.1f} ms, p90 {quantile(added, 0.9):.1f} ms",
    )


def _run(sandbox: Sandbox, scope: Scope) -> None:
    confined = sandbox.confine(COMMAND, scope)
    ended = process.run(
        confined.command,
        cwd=scope.cwd,
        environment={"PATH": os.defpath},
        on_stdout=lambda _text: None,
        on_stderr=lambda _text: None,
        interrupt=Interrupt(),
        timeout=timedelta(seconds=30),
        grace=timedelta(seconds=1),
        confinement=confined.confinement,
    )
    assert ended.returncode == 0
