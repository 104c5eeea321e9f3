"""Trials: run tests over a copy of the project, in a process that can be given up.

Each slot has a copy and servers of its own. A trial is forked from a process that has imported
the libraries, and nothing of the project: that takes a second off each.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.mutation import Mutation
from tests.mutants.plugin import PLAN
from tests.mutants.rooms import ROOT

LIBRARIES = """
    alembic.config celery kombu prometheus_client psycopg pydantic_settings redis
    sqlalchemy.orm structlog
"""
# Not the tests of query plans, which take half a minute and are not about what a statement does.
OPTIONS = ("-xq", "-n0", "-pno:cacheprovider", "-ptests.mutants.plugin", "-knot full_database")


class Outcome(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"  #: a test failed, or the tests could not be imported
    SURVIVED = "survived"  #: every test passed
    TIMEOUT = "timeout"  #: the tests did not end in time; as good as killed


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a trial ended."""

    outcome: Outcome
    by: str  #: the first test that failed
    seconds: float


@dataclass(kw_only=True)
class Trial:
    """Tests that run in a slot."""

    mutation: Mutation | None  #: None: whether the tests pass at all
    tests: Sequence[str]
    pid: int
    begun: float
    limit_s: float


class Slot:
    """A place for one trial at a time."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self._report = folder / "failed"
        self._plan = folder / "plan.json"
        self._output = folder / "output"
        self._lent: dict[str, Any] = {}
        self._whole = ""  # the source that the trial has a mutation of
        self.trial: Trial | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Slot]:
        """Copy the project and start the servers; end both with the block."""
        _copy_project(self.tree)
        command = [sys.executable, "-m", "tests.mutants.servers"]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as servers:
            try:
                assert servers.stdout is not None
                self._lent = json.loads(servers.stdout.readline())
                yield self
            finally:
                self._kill()
                assert servers.stdin is not None
                servers.stdin.close()
                servers.wait(timeout=60)
                shutil.rmtree(self.tree, ignore_errors=True)

    def begin(
        self,
        mutation: Mutation | None,
        tests: Sequence[str],
        *,
        first: Sequence[str],
        limit_s: float,
    ) -> None:
        """Start the tests; those of ``first`` come before the others."""
        self._report.unlink(missing_ok=True)
        plan = {"lent": self._lent, "first": list(first), "report": str(self._report)}
        self._plan.write_text(json.dumps(plan))
        if mutation:
            self._whole = (self.tree / mutation.path).read_text()
            (self.tree / mutation.path).write_text(mutation.apply(self._whole))
        pid = os.fork()
        if pid == 0:
            self._run(tests)
        self.trial = Trial(
            mutation=mutation, tests=tests, pid=pid, begun=time.monotonic(), limit_s=limit_s
        )

    def look(self) -> Verdict | None:
        """Return how the trial ended; None while it runs."""
        trial = self.trial
        assert trial is not None
        seconds = time.monotonic() - trial.begun
        pid, status = os.waitpid(trial.pid, os.WNOHANG)
        if not pid and seconds < trial.limit_s:
            return None
        self._kill(is_ended=bool(pid))
        if trial.mutation:
            (self.tree / trial.mutation.path).write_text(self._whole)
        if not pid:
            return Verdict(outcome=Outcome.TIMEOUT, by="", seconds=seconds)
        by = self._report.read_text() if self._report.exists() else ""
        outcome = Outcome.KILLED if status else Outcome.SURVIVED
        return Verdict(outcome=outcome, by=by, seconds=seconds)

    def output(self) -> str:
        """Return what the last trial printed."""
        return self._output.read_text(errors="replace")

    def _kill(self, *, is_ended: bool = False) -> None:
        """End the trial with everything that it has started."""
        if self.trial is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.trial.pid, signal.SIGKILL)
        if not is_ended:
            os.waitpid(self.trial.pid, 0)
        self.trial = None

    def _run(self, tests: Sequence[str]) -> None:
        """Become the trial; does not return."""
        status = 99
        try:
            os.setsid()
            output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self.tree)
            os.environ |= {PLAN: str(self._plan), "PYTHONPATH": str(self.tree)}
            sys.path[:] = [str(self.tree), *(path for path in sys.path if path != str(ROOT))]
            for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
                del sys.modules[name]
            status = pytest.main([*OPTIONS, *tests])
        except BaseException:  # noqa: BLE001 - printed, and the process ends
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def import_libraries() -> None:
    """Import what every trial needs, so that its fork has it."""
    for name in LIBRARIES.split():
        __import__(name)
    ours = {"api", "chattool", "cli", "db", "provisioner", "quota", "worker"} & sys.modules.keys()
    assert not ours, f"a trial would not see the mutants of {ours}"


def _copy_project(tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    # Bytecode that is checked by the source's hash: a time stamp is too coarse for mutants.
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(tree, quiet=1, invalidation_mode=mode)
