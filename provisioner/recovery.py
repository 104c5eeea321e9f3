"""Recover what a lost worker left on disk: the newest state of its build.

When a worker dies, its Terraform gets SIGINT from the kernel and ends cleanly, after the last
checkpoint. Its state file is then newer than the stored state, and every worker on the host
looks for such directories, at its start and again with each sweep.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import structlog

from db.engine import Database
from db.leases import ReapedJob, reap_lease
from db.states import State, read_state, store_recovered_state
from provisioner.terraform.checkpoint import ERRORED_STATE_FILE, STATE_FILE
from provisioner.workdir import WorkDirectory, find_work_directories

log = structlog.get_logger("provisioner")


class Recovered(StrEnum):
    """What became of a directory that was found."""

    BUSY = "busy"  #: its worker lives, or its Terraform has not ended yet
    CLOSED = "closed"  #: the job was still the lost worker's; it was closed with the state
    STORED = "stored"  #: the job was closed already; the newer state was stored with it
    SETTLED = "settled"  #: there was nothing newer than what is stored
    KEPT = "kept"  #: a later build had begun; the state was put aside for a person


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What became of one directory, and of its job if that was still open."""

    directory: Path
    outcome: Recovered
    reaped: ReapedJob | None = None


@dataclass(kw_only=True)
class Recoverer:
    """Looks through the work directories of this host.

    Args:
        grace: how long an orphaned Terraform may take to end before it is killed.
    """

    database: Database
    work_root: Path
    max_attempts: int
    grace: timedelta
    _first_seen: dict[int, float] = field(default_factory=dict)

    def recover(self) -> list[Recovery]:
        """Recover every directory that nobody works in any more."""
        return [self._recover(found) for found in find_work_directories(self.work_root)]

    def _recover(self, directory: WorkDirectory) -> Recovery:
        try:
            is_free = directory.take()
        except FileNotFoundError:  # removed since it was found
            return Recovery(directory=directory.path, outcome=Recovered.SETTLED)
        if not is_free:
            return Recovery(directory=directory.path, outcome=Recovered.BUSY)
        try:
            if self._has_processes(directory.path):
                return Recovery(directory=directory.path, outcome=Recovered.BUSY)
            recovery = self._settle(directory)
            log.warning(
                "build.recovered", job_id=str(directory.job_id), outcome=recovery.outcome.value
            )
            directory.remove()
            return recovery
        finally:
            directory.release()

    def _settle(self, directory: WorkDirectory) -> Recovery:
        state = newest_state(directory.template)
        with self.database.begin() as session:
            reaped = reap_lease(
                session,
                job_id=directory.job_id,
                lease_token=directory.lease_token,
                state=state,
                max_attempts=self.max_attempts,
            )
            if reaped is not None:
                outcome = Recovered.CLOSED
            elif state is None:
                outcome = Recovered.SETTLED
            else:
                answer = store_recovered_state(session, job_id=directory.job_id, state=state)
                outcome = Recovered(answer.value)
        if outcome is Recovered.KEPT:
            self._put_aside(directory)
        return Recovery(directory=directory.path, outcome=outcome, reaped=reaped)

    def _put_aside(self, directory: WorkDirectory) -> None:
        aside = self.work_root / "orphaned-states"
        aside.mkdir(mode=0o700, exist_ok=True)
        target = aside / f"{directory.job_id}.tfstate"
        shutil.copyfile(_newest_file(directory.template), target)
        log.error("state.orphaned", job_id=str(directory.job_id), kept_at=str(target))

    def _has_processes(self, path: Path) -> bool:
        """Return whether anything runs in the directory; what outlives the grace is killed."""
        processes = processes_in(path)
        now = time.monotonic()
        for pid in processes:
            since = self._first_seen.setdefault(pid, now)
            if now - since > self.grace.total_seconds():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if not processes:
            self._first_seen.clear()
        return bool(processes)


def newest_state(directory: Path) -> State | None:
    """Return the newest whole state file in an engine's directory."""
    found = [
        state
        for name in (STATE_FILE, ERRORED_STATE_FILE)
        if (state := read_state(_read(directory / name)))
    ]
    return max(found, key=lambda state: state.serial, default=None)


def processes_in(path: Path) -> list[int]:
    """Return the processes whose working directory is ``path`` or below it (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(path):
                found.append(int(entry.name))
    return found


def _newest_file(directory: Path) -> Path:
    errored = directory / ERRORED_STATE_FILE
    return errored if read_state(_read(errored)) else directory / STATE_FILE


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
