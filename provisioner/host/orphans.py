"""States that were put aside on this host because they must not replace the stored ones.

WORK_DIR/orphaned-states/<job>.tfstate            waits for a person
<job>.tfstate.adopted    was pushed to its workspace
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from db.jobs.statefiles import MAX_STATE_BYTES
from db.jobs.states import State, read_state

FOLDER = "orphaned-states"
SUFFIX = ".tfstate"
ADOPTED = ".adopted"


@dataclass(frozen=True, kw_only=True)
class OrphanedState:
    """A state file that was put aside, named after the job of the build that left it."""

    path: Path
    job_id: uuid.UUID
    size: int
    put_aside_at: datetime
    state: State | None  #: None if it cannot be read as a state


def put_aside(work_root: Path, job_id: uuid.UUID, state: bytes) -> Path:
    """Write a state to where a person finds it; return its path.

    Raises:
        OSError: it cannot be written, for example because the disk is full. A partial file never
            has the final name.
    """
    folder = work_root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{job_id}{SUFFIX}"
    partial = folder / f"{job_id}.partial"
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(state)
    partial.replace(target)
    return target


def find_orphaned_states(work_root: Path) -> Iterator[OrphanedState]:
    """Yield the states that wait on this host, ordered by job id."""
    for path in sorted((work_root / FOLDER).glob(f"*{SUFFIX}")):
        job_id = job_of(path)
        if job_id is not None and path.is_file():
            facts = path.stat()
            yield OrphanedState(
                path=path,
                job_id=job_id,
                size=facts.st_size,
                put_aside_at=datetime.fromtimestamp(facts.st_mtime, UTC),
                state=read_state(read_bounded(path)),
            )


def job_of(path: Path) -> uuid.UUID | None:
    """Return the job that a file is named after, None if its name is not a job id."""
    try:
        return uuid.UUID(path.name.removesuffix(SUFFIX))
    except ValueError:
        return None


def read_bounded(path: Path) -> bytes:
    """Return the content of the file, at most one byte more than a state may have.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(MAX_STATE_BYTES + 1)


def mark_adopted(path: Path) -> Path:
    """Rename the file of a state that is now stored; return its new path.

    Raises:
        OSError: it cannot be renamed.
    """
    return path.rename(path.with_name(f"{path.name}{ADOPTED}"))
