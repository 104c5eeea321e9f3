"""Work directories of builds, one for each attempt.

    WORK_DIR/<job>-<attempt>/lease.json        whose it is, for whoever finds it
                                template/      the unpacked template; the engine's directory
                                home/          HOME and TMPDIR of the engine's processes

A directory is removed when its build has ended. One that stays behind was left by a worker that
was lost, and holds the newest state of its build (see ``provisioner.recovery``).
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LEASE_FILE = "lease.json"


@dataclass(frozen=True, kw_only=True)
class WorkDirectory:
    """The directory of one attempt to run a job."""

    path: Path
    job_id: uuid.UUID
    lease_token: uuid.UUID

    @property
    def template(self) -> Path:
        """Where the template is unpacked and the engine works."""
        return self.path / "template"

    @property
    def home(self) -> Path:
        """HOME and TMPDIR of the engine's processes."""
        return self.path / "home"

    def remove(self) -> None:
        """Delete the directory and all that is in it; one that is gone already is no error."""
        shutil.rmtree(self.path, ignore_errors=True)


def create_work_directory(
    root: Path, *, job_id: uuid.UUID, attempt: int, lease_token: uuid.UUID
) -> WorkDirectory:
    """Make the directory of an attempt, readable by us alone.

    Raises:
        OSError: the disk is full, or ``root`` cannot be written.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = WorkDirectory(
        path=root / f"{job_id.hex[:12]}-{attempt}", job_id=job_id, lease_token=lease_token
    )
    directory.path.mkdir(mode=0o700)
    try:
        directory.template.mkdir(mode=0o700)
        directory.home.mkdir(mode=0o700)
        lease = {"job_id": str(job_id), "lease_token": str(lease_token)}
        (directory.path / LEASE_FILE).write_text(json.dumps(lease))
    except OSError:
        directory.remove()
        raise
    return directory


def find_work_directories(root: Path) -> Iterator[WorkDirectory]:
    """Yield the directories below ``root``; what is not one of ours is passed over."""
    for path in sorted(root.glob("*-*")):
        try:
            lease = json.loads((path / LEASE_FILE).read_text())
            yield WorkDirectory(
                path=path,
                job_id=uuid.UUID(lease["job_id"]),
                lease_token=uuid.UUID(lease["lease_token"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
