"""Work directories of builds, one for each claim.

    WORK_DIR/<job>-<claim>/lease.json    the lease of the claim; locked while its worker lives
                             template/    the unpacked template; the engine's directory
                             home/        HOME and TMPDIR of the engine's processes
                             tmp/         what they see as /tmp in a sandbox
                             reserve      room on the disk for the state, until the disk is full

A work directory is made when an engine that works with files begins, and removed when the build
has ended. A directory that remains was left by a lost worker, and may contain the newest state of
its build (see ``provisioner.host.recovery``).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from db.jobs.leases import Lease
from provisioner.host.archive import unpack_template
from provisioner.host.locks import try_lock
from provisioner.host.members import ArchiveError

LEASE_FILE = "lease.json"
STATE_FILE = "terraform.tfstate"
ERRORED_STATE_FILE = "errored.tfstate"
"""Where Terraform stores the newest state if it could not write the state file."""
RESERVE_FILE = "reserve"
NAME = re.compile(r"[0-9a-f]{12}-\d+")
REMNANT_AGE_S = 60
"""An older directory without a lease was left by a worker that died while it made it."""


@dataclass(kw_only=True)
class WorkDirectory:
    """The directory of one attempt to run a job."""

    path: Path
    lease: Lease
    _lock: int | None = field(default=None, repr=False)

    @property
    def template(self) -> Path:
        """Where the template is unpacked and the engine works."""
        return self.path / "template"

    @property
    def home(self) -> Path:
        """HOME and TMPDIR of the engine's processes."""
        return self.path / "home"

    @property
    def tmp(self) -> Path:
        """What the engine's processes see as ``/tmp`` in a sandbox, during the whole build."""
        return self.path / "tmp"

    def take(self) -> bool:
        """Try to lock the directory for this process; return whether that worked.

        The lock is released when the process ends, for whatever reason.
        """
        return self._lock_by(os.open(self.path / LEASE_FILE, os.O_RDONLY | os.O_CLOEXEC))

    def make(self, archive: bytes) -> None:
        """Make and lock the directory with the template's files, readable only by this user.

        Raises:
            OSError: the disk is full, or the directory exists already.
            ArchiveError: the archive is refused.
        """
        # A build of root has a user of its own (see sandbox.ownership), who must be able to enter.
        self.path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o711)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self.path / LEASE_FILE, flags, 0o600)
            # Locked before it can be read, so that a recovering worker cannot lock it first.
            self._lock_by(descriptor)
            lease = {"job_id": str(self.lease.job_id), "lease_token": str(self.lease.token)}
            os.write(descriptor, json.dumps(lease).encode())
            self.home.mkdir(mode=0o700)
            self.tmp.mkdir(mode=0o700)
            unpack_template(archive, self.template)
        except (OSError, ArchiveError):
            self._delete()
            raise

    def _lock_by(self, descriptor: int) -> bool:
        if not try_lock(descriptor):
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def reserve(self, size: int) -> None:
        """Take ``size`` bytes of the disk, so that the state can be written when it is full.

        Does nothing if the engine made no directory.

        Raises:
            OSError: the disk has less room than that.
        """
        if self._lock is None or size == 0:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path / RESERVE_FILE, flags, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            self.make_room()
            raise
        finally:
            os.close(descriptor)

    def make_room(self) -> None:
        """Free what was reserved."""
        (self.path / RESERVE_FILE).unlink(missing_ok=True)

    def release(self) -> None:
        """Unlock the directory as it is, so that a worker can recover the build."""
        if self._lock is not None:
            # A child that was forked meanwhile (prefork) shares the lock, so closing the file
            # does not release it.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Delete the directory and its content, if this process has locked it."""
        if self._lock is not None:
            self._delete()

    def _delete(self) -> None:
        # The lease goes last, so that recovery finds the directory of a worker that dies here.
        for path in (self.template, self.home, self.tmp, self.path):
            shutil.rmtree(path, ignore_errors=True)
        self.release()


def name_work_directory(root: Path, lease: Lease, *, claim: int) -> WorkDirectory:
    """Return the directory of the job's nth claim, without making it."""
    # A short name: providers make Unix sockets below it, whose paths are limited to 107 bytes.
    path = root / f"{lease.job_id.hex[:12]}-{claim}"
    return WorkDirectory(path=path, lease=lease)


def find_work_directories(root: Path) -> Iterator[WorkDirectory]:
    """Yield the work directories below ``root``; ignore everything else."""
    for path in sorted(root.glob("*-*")):
        try:
            stored = json.loads((path / LEASE_FILE).read_text())
            lease = Lease(uuid.UUID(stored["job_id"]), uuid.UUID(stored["lease_token"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        yield WorkDirectory(path=path, lease=lease)


def remove_remnants(root: Path) -> None:
    """Delete directories that were never completed, or whose deletion was interrupted."""
    readable = {directory.path for directory in find_work_directories(root)}
    for path in root.glob("*-*"):
        if NAME.fullmatch(path.name) and path not in readable:
            with suppress(OSError):  # another process was faster
                if time.time() - path.stat().st_mtime > REMNANT_AGE_S:
                    shutil.rmtree(path)
