"""Commands in a sandbox, of this user or of another one.

python -m tests.harness.confined ORDER    runs the command of the order, a JSON object
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import structlog

from provisioner.host import process
from provisioner.host.interrupt import Interrupt
from provisioner.host.sandbox.limits import Limit, Limits
from provisioner.host.sandbox.paths import SharedPaths
from provisioner.host.sandbox.port import SandboxMode, Scope
from provisioner.host.sandbox.restriction import SIGNALS_ABI, abi
from provisioner.host.sandboxes import choose_sandbox

REPOSITORY = Path(__file__).parents[2]
ORDINARY_USER = 61234
"""A user of this host that owns nothing else."""

SYSTEM_PYTHON = "/usr/bin/python3"
"""What every user may run; of this project it needs only what has no requirements."""

_MEGABYTE = 1024**2
_KINDS_OF_PATHS = ("readable", "writable", "hidden")


def has_landlock() -> bool:
    """Whether the kernel can confine commands as the sandbox needs it."""
    try:
        return abi() >= SIGNALS_ABI
    except OSError:
        return False


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended, and what it printed."""

    status: int
    output: str
    limit: Limit | None = None


@dataclass(kw_only=True)
class Job:
    """The folders of a job, and the sandbox of its commands."""

    folder: Path
    mode: SandboxMode
    uid: int = 0
    readable: tuple[Path, ...] = ()
    shared: SharedPaths = field(default_factory=SharedPaths)
    limits: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.folder, self.template, self.home, self.tmp):
            path.mkdir(exist_ok=True)
            os.chown(path, self.uid, self.uid)

    @property
    def template(self) -> Path:
        return self.folder / "template"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    def run(
        self,
        *command: str,
        timeout_s: float = 30,
        grace_s: float = 5,
        protected: Sequence[Path] = (),
    ) -> Ended:
        """Run a command to its end, as a worker of the job's user does.

        Args:
            grace_s: how long it may go on after it was interrupted at its timeout, in seconds.
        """
        order = self._order(command, protected, timeout_s=timeout_s, grace_s=grace_s)
        with self._worker(order) as worker:
            output, errors = worker.communicate()
        assert worker.returncode == 0, errors
        answer = json.loads(output)
        limit = None if answer["limit"] is None else Limit(answer["limit"])
        return Ended(status=answer["status"], output=answer["output"], limit=limit)

    @contextmanager
    def worker_of(self, *command: str) -> Iterator[psutil.Process]:
        """A worker that runs a command, to be killed within the block."""
        with self._worker(self._order(command)) as worker:
            try:
                yield psutil.Process(worker.pid)
            finally:
                worker.kill()

    def _order(
        self,
        command: Sequence[str],
        protected: Sequence[Path] = (),
        *,
        timeout_s: float = 30,
        grace_s: float = 5,
    ) -> Mapping[str, object]:
        return {
            "command": command,
            "folder": str(self.folder),
            "mode": self.mode,
            "readable": [str(path) for path in self.readable],
            "protected": [str(path) for path in protected],
            "shared": self._shared(),
            "limits": self.limits,
            "timeout_s": timeout_s,
            "grace_s": grace_s,
        }

    def _worker(self, order: Mapping[str, object]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._interpreter(), "-m", "tests.harness.confined", json.dumps(order)],
            cwd=REPOSITORY,
            env={
                "PATH": os.environ["PATH"],
                "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
                # For the interpreter of the system, which has no packages of its own.
                "PYTHONPATH": str(Path(structlog.__file__).parents[1]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, code: str, *arguments: object, **options: Any) -> Ended:
        """Run a program with the system's Python."""
        return self.run(SYSTEM_PYTHON, "-I", "-c", code, *map(str, arguments), **options)

    def shell(self, code: str, **options: Any) -> Ended:
        return self.run("/bin/bash", "-c", code, **options)

    def _shared(self) -> dict[str, Any]:
        paths = {name: list(map(str, getattr(self.shared, name))) for name in _KINDS_OF_PATHS}
        return {**paths, "keeps_user": self.shared.keeps_user}

    def _interpreter(self) -> list[str]:
        if self.uid == os.getuid():
            return [sys.executable]
        user = str(self.uid)
        # The interpreter of the tests may stand in a home that no other user may enter.
        return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", SYSTEM_PYTHON]


def main() -> None:
    """Run the command of the order in the first argument; print how it ended."""
    order = json.loads(sys.argv[1])
    folder = Path(order["folder"])
    scope = Scope(
        cwd=folder / "template",
        writable=(folder / "template", folder / "home"),
        readable=tuple(map(Path, order["readable"])),
        protected=tuple(map(Path, order["protected"])),
        tmp=folder / "tmp",
    )
    limits = Limits(
        memory_bytes=order["limits"].get("memory_megabytes", 2048) * _MEGABYTE,
        processes=order["limits"].get("processes", 500),
        open_files=order["limits"].get("open_files", 1000),
        disk_bytes=order["limits"].get("disk_megabytes", 1000) * _MEGABYTE,
    )
    mode = SandboxMode(order["mode"])
    paths = {name: tuple(map(Path, order["shared"][name])) for name in _KINDS_OF_PATHS}
    shared = SharedPaths(**paths, keeps_user=order["shared"]["keeps_user"])
    sandbox = choose_sandbox(mode, shared=shared, limits=limits).sandbox
    confined = sandbox.confine(order["command"], scope)
    output: list[str] = []
    ended = process.run(
        confined.command,
        cwd=scope.cwd,
        environment={"PATH": os.defpath, "HOME": str(folder / "home")},
        on_stdout=output.append,
        on_stderr=output.append,
        interrupt=Interrupt(),
        timeout=timedelta(seconds=order["timeout_s"]),
        grace=timedelta(seconds=order["grace_s"]),
        confinement=confined.confinement,
    )
    answer = Ended(status=ended.returncode, output="".join(output), limit=ended.limit)
    sys.stdout.write(json.dumps(dataclasses.asdict(answer)))


if __name__ == "__main__":
    main()
