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

from db.errors import SealedError
from db.jobs.statefiles import MAX_STATE_BYTES
from db.jobs.states import State, read_state
from db.sealing.envelope import is_sealed, key_id_of, seal, unseal
from db.sealing.keyring import NO_KEYS, Key, Keyring
from db.sealing.places import orphan_of

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


def put_aside(
    work_root: Path, job_id: uuid.UUID, state: bytes, *, keyring: Keyring = NO_KEYS
) -> Path:
    """Write a state to where a person finds it, sealed if there is a key; return its path.

    Raises:
        OSError: it cannot be written, for example because the disk is full. A partial file never
            has the final name.
    """
    make_folder(work_root)
    target = orphan_path(work_root, job_id)
    _write(target, _sealed(state, job_id, keyring.first) if keyring.first else state)
    return target


def make_folder(work_root: Path) -> Path:
    """Make the folder of the states that are put aside, and return it.

    Raises:
        OSError: it cannot be made.
    """
    folder = work_root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def orphan_path(work_root: Path, job_id: uuid.UUID) -> Path:
    """Return where the state of a job is put aside."""
    return work_root / FOLDER / f"{job_id}{SUFFIX}"


def reseal_orphans(work_root: Path, keyring: Keyring) -> int:
    """Seal the states that wait on this host with the first key; return how many were not yet.

    One that is too large to be stored stays as it is (see ``provisioner.host.oversized``).

    Raises:
        SealedError: one is sealed with a key that is missing.
        OSError: one cannot be read or written.
    """
    assert keyring.first is not None
    count = 0
    for orphan in find_orphaned_states(work_root):
        stored = read_bounded(orphan.path)
        if is_sealed(stored) and key_id_of(stored) == keyring.first.id:
            continue
        if len(stored) > MAX_STATE_BYTES and not is_sealed(stored):
            continue
        data = opened_orphan(stored, orphan.job_id, keyring)
        _write(orphan.path, _sealed(data, orphan.job_id, keyring.first))
        count += 1
    return count


def opened_orphan(stored: bytes, job_id: uuid.UUID, keyring: Keyring) -> bytes:
    """Return the state in such a file, or in a copy of it.

    Raises:
        SealedError: it is sealed, and does not open.
    """
    return unseal(keyring, orphan_of(job_id), stored) if is_sealed(stored) else stored


def _sealed(data: bytes, job_id: uuid.UUID, key: Key) -> bytes:
    return seal(key, orphan_of(job_id), data, row=job_id)


def _write(target: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    partial.replace(target)


def find_orphaned_states(work_root: Path, *, keyring: Keyring = NO_KEYS) -> Iterator[OrphanedState]:
    """Yield the states that wait on this host, ordered by job id.

    What is sealed and does not open is listed without its state.
    """
    for path in sorted((work_root / FOLDER).glob(f"*{SUFFIX}")):
        job_id = job_of(path)
        if job_id is not None and path.is_file():
            facts = path.stat()
            yield OrphanedState(
                path=path,
                job_id=job_id,
                size=facts.st_size,
                put_aside_at=datetime.fromtimestamp(facts.st_mtime, UTC),
                state=_state(path, job_id, keyring),
            )


def _state(path: Path, job_id: uuid.UUID, keyring: Keyring) -> State | None:
    try:
        return read_state(opened_orphan(read_bounded(path), job_id, keyring))
    except SealedError:
        return None


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
