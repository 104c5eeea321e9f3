"""Recover the newest state of a build that a lost worker left on disk.

When a worker dies, its Terraform gets SIGINT from the launcher and ends cleanly, after the last
checkpoint. Its state file is then newer than the stored state. Every worker on the host looks
for such directories, at its start and again every few seconds. While the orphaned Terraform
still runs, its lease is renewed, so that no later build starts from a state that is about to be
outdated.
"""

from __future__ import annotations

import errno
import os
import signal
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from db.jobs.leases import renew_leases
from db.jobs.mover import Mover
from db.jobs.reaper import reap_lease
from db.jobs.statefiles import MAX_STATE_BYTES
from db.jobs.states import RecoveredState, State, read_state, store_recovered_state
from db.outage import is_outage
from provisioner.host.orphans import put_aside
from provisioner.host.oversized import keep_oversized_state
from provisioner.host.reading import read_file
from provisioner.host.workdir import (
    ERRORED_STATE_FILE,
    STATE_FILE,
    WorkDirectory,
    find_work_directories,
    remove_remnants,
)

# Such errors say nothing about the file: its directory may hold the newest state.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})

log = structlog.get_logger("provisioner")


class Recovered(StrEnum):
    """The outcome for a work directory."""

    BUSY = "busy"  #: its worker is alive, or its Terraform has not ended yet
    CLOSED = "closed"  #: the lost worker still held the job; it was reaped with the state
    STORED = "stored"  #: the job had been reaped; its newer state was stored
    SETTLED = "settled"  #: the stored state was already the newest
    KEPT = "kept"  #: a later build had started; the state was put aside for a person
    FAILED = "failed"  #: the directory could not be read or removed; it is tried again
    FORGED = "forged"  #: its lease file is not a worker's, so it is left alone


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """The outcome for one directory."""

    directory: Path
    outcome: Recovered


@dataclass(kw_only=True)
class Recoverer:
    """Looks through the work directories of this host.

    Args:
        lease: how far each check of an orphaned Terraform extends the lease of its job.
        grace: how long an orphaned Terraform may take to end before it is killed.
    """

    mover: Mover
    work_root: Path
    max_attempts: int
    lease: timedelta
    grace: timedelta
    _first_seen: dict[Path, float] = field(default_factory=dict)
    _told: set[tuple[Path, str]] = field(default_factory=set)  #: directories, and what was logged

    def recover(self) -> list[Recovery]:
        """Recover every directory that no worker uses any more.

        A failure in one directory does not stop the recovery of the others.
        """
        remove_remnants(self.work_root)
        forged: list[Recovery] = []

        def refuse(path: Path, reason: str) -> None:
            forged.append(Recovery(directory=path, outcome=Recovered.FORGED))
            if self._is_news(path, "build.lease_forged"):
                log.error(
                    "build.lease_forged",
                    directory=str(path),
                    reason=reason,
                    adopt_with=f"provisionerd state adopt {path}",
                )

        found = list(find_work_directories(self.work_root, on_forged=refuse))
        recoveries = [*map(self._recover, found), *forged]
        there = {recovery.directory for recovery in recoveries}
        self._told = {told for told in self._told if told[0] in there}
        return recoveries

    def _is_news(self, path: Path, event: str) -> bool:
        """Return whether the event was not logged yet for this directory, which is still there."""
        is_news = (path, event) not in self._told
        self._told.add((path, event))
        return is_news

    def _recover(self, directory: WorkDirectory) -> Recovery:
        try:
            if directory.take():
                return self._recover_taken(directory)
        except FileNotFoundError:  # removed since it was found
            return Recovery(directory=directory.path, outcome=Recovered.SETTLED)
        except Exception as error:
            if is_outage(error):  # the others would fail too
                raise
            if self._is_news(directory.path, "build.recovery_failed"):
                # No traceback for a full disk: it is not a bug.
                tell = log.error if isinstance(error, OSError) else log.exception
                tell("build.recovery_failed", directory=str(directory.path), error=str(error))
            return Recovery(directory=directory.path, outcome=Recovered.FAILED)
        return Recovery(directory=directory.path, outcome=Recovered.BUSY)

    def _recover_taken(self, directory: WorkDirectory) -> Recovery:
        try:
            if self._has_processes(directory):
                return Recovery(directory=directory.path, outcome=Recovered.BUSY)
            recovery = self._settle(directory)
            if self._is_news(directory.path, "build.recovered"):
                log.warning(
                    "build.recovered",
                    job_id=str(directory.lease.job_id),
                    outcome=recovery.outcome.value,
                )
            directory.remove()
            return recovery
        finally:
            directory.release()

    def _settle(self, directory: WorkDirectory) -> Recovery:
        keep_oversized_state(directory)
        state = newest_state(directory.template)
        outcome = self.mover.run(lambda session: self._close(session, directory, state))
        return Recovery(directory=directory.path, outcome=outcome)

    def _close(self, session: Session, directory: WorkDirectory, state: State | None) -> Recovered:
        """Reap the lost worker's job if it still holds it, else store its newer state."""
        lease = directory.lease
        if reap_lease(session, lease, state=state, max_attempts=self.max_attempts):
            return Recovered.CLOSED
        if state is None:
            return Recovered.SETTLED
        outcome = store_recovered_state(
            session, job_id=lease.job_id, claim=directory.claim, state=state
        )
        if outcome is RecoveredState.KEPT:
            # Before the commit: the job's log must not tell of it each time that there is no room.
            self._put_aside(lease.job_id, state)
        return Recovered(outcome.value)

    def _put_aside(self, job_id: uuid.UUID, state: State) -> None:
        keyring = self.mover.database.keyring
        kept_at = put_aside(self.work_root, job_id, state.data, keyring=keyring)
        log.error(
            "state.orphaned",
            job_id=str(job_id),
            kept_at=str(kept_at),
            adopt_with=f"provisionerd state adopt {job_id}",
        )

    def _has_processes(self, directory: WorkDirectory) -> bool:
        """Return whether Terraform still runs there; kill processes that must not go on."""
        processes = processes_in(directory.path)
        if not processes:
            self._first_seen.pop(directory.path, None)
            return False
        since = self._first_seen.setdefault(directory.path, time.monotonic())
        is_overdue = time.monotonic() - since > self.grace.total_seconds()
        # A provider without its Terraform creates resources that no state records.
        if is_overdue or not any(map(_is_leader, processes)):
            _kill(processes)
        with self.mover.database.begin() as session:
            renew_leases(session, tokens=[directory.lease.token], lease=self.lease)
        return True


def _kill(processes: list[int]) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def newest_state(directory: Path) -> State | None:
    """Return the newest complete state in an engine's directory.

    Terraform writes ``errored.tfstate`` only if it could not write the state file, so it wins
    unless the state file is of another lineage or has a higher serial.

    Raises:
        OSError: the host has no descriptors or memory left to read it, or its disk fails.
    """
    state = read_state(_read(directory, STATE_FILE))
    errored = read_state(_read(directory, ERRORED_STATE_FILE))
    if errored is not None and (state is None or _is_as_new(errored, state)):
        return errored
    return state


def _is_as_new(errored: State, state: State) -> bool:
    return errored.lineage == state.lineage and errored.serial >= state.serial


def processes_in(path: Path) -> list[int]:
    """Return the processes that a build in ``path`` has started (Linux).

    Their working directory is in ``path``, or their ``TMPDIR`` is.
    """
    mark = f"TMPDIR={path}/".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, is a zombie, or belongs to another user
            is_inside = (entry / "cwd").readlink().is_relative_to(path)
            if is_inside or mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def _is_leader(pid: int) -> bool:
    """Return whether the process leads a session: Terraform does, its children do not."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _read(directory: Path, name: str) -> bytes | None:
    try:
        return read_file(directory, name, limit=MAX_STATE_BYTES)
    except OSError as error:
        if error.errno in _PASSING:
            raise
        return None
