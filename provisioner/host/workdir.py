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
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from db.jobs.leases import Lease
from provisioner.host.archive import unpack_template
from provisioner.host.leasefile import LEASE_FILE, ForgedLeaseError, lease_key
from provisioner.host.locks import try_lock
from provisioner.host.members import ArchiveError
from provisioner.host.removal import remove_tree

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
    def claim(self) -> int:
        """Which claim of the job it belongs to, from 1. The lease file is signed for it."""
        return int(self.path.name.rpartition("-")[2])

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
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return self._lock_by(os.open(self.path / LEASE_FILE, flags))

    def make(self, archive: bytes) -> None:
        """Make and lock the directory with the template's files, readable only by this user.

        Raises:
            OSError: the disk is full, or the directory exists already.
            ArchiveError: the archive is refused.
        """
        # A build of root has a user of its own (see sandbox.ownership), who must be able to enter.
        key = lease_key(self.path.parent)
        self.path.mkdir(mode=0o711)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self.path / LEASE_FILE, flags, 0o600)
            # Locked before it can be read, so that a recovering worker cannot lock it first.
            self._lock_by(descriptor)
            key.write(descriptor, self.path.name, self.lease)
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
        """Free what was reserved; do nothing if the disk cannot be written any more."""
        with suppress(OSError):
            (self.path / RESERVE_FILE).unlink()

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
            remove_tree(path)
        self.release()


def name_work_directory(root: Path, lease: Lease, *, claim: int) -> WorkDirectory:
    """Return the directory of the job's nth claim, without making it."""
    # A short name: providers make Unix sockets below it, whose paths are limited to 107 bytes.
    path = root / f"{lease.job_id.hex[:12]}-{claim}"
    return WorkDirectory(path=path, lease=lease)


Forged = Callable[[Path, str], None]
"""Called for a directory whose lease file is not a worker's, with the reason."""


def ignore_forged(_directory: Path, _reason: str) -> None:
    """Leave the directory as it is."""


def find_work_directories(
    root: Path, *, on_forged: Forged = ignore_forged
) -> Iterator[WorkDirectory]:
    """Yield the work directories below ``root``; ignore everything else.

    Args:
        on_forged: called for each directory that names its lease wrongly, which is not believed,
            or that names none although it has a state.
    """
    folders = _folders(root)
    if not folders:
        return
    key = lease_key(root)
    for path in folders:
        try:
            yield WorkDirectory(path=path, lease=key.read(path))
        except (OSError, ValueError):
            if _has_state(path / "template"):
                on_forged(path, "its lease file is missing or damaged, but it has a state")
            # Else it is a remnant, or removed since.
        except ForgedLeaseError as error:
            on_forged(path, str(error))


def _has_state(template: Path) -> bool:
    return any(os.path.lexists(template / name) for name in (STATE_FILE, ERRORED_STATE_FILE))


def remove_remnants(root: Path) -> None:
    """Delete directories that were never completed, or whose deletion was interrupted."""
    kept: set[Path] = set()
    kept.update(found.path for found in find_work_directories(root, on_forged=_keep_in(kept)))
    for path in _folders(root):
        if path not in kept and _age_s(path) > REMNANT_AGE_S:
            remove_tree(path)


def _keep_in(kept: set[Path]) -> Forged:
    return lambda path, _reason: kept.add(path)


def _folders(root: Path) -> list[Path]:
    return [
        path for path in sorted(root.glob("*-*")) if NAME.fullmatch(path.name) and _is_folder(path)
    ]


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
