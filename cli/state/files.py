"""Files of ``provisionerd state``: read up to a limit, written readable only by their owner."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import click

from db.jobs.statefiles import MAX_STATE_BYTES
from db.sealing.keyring import Keyring
from provisioner.host.orphans import (
    find_orphaned_states,
    job_of,
    mark_adopted,
    opened_orphan,
    read_bounded,
)
from provisioner.host.recovery import newest_state, processes_in
from provisioner.host.workdir import NAME

STANDARD_INPUT = "-"


def read_file(path: str) -> bytes:
    """Return the content of a file, or of standard input for ``-``.

    At most one byte more than a state's limit is read, so that a larger state is refused.

    Raises:
        click.ClickException: it cannot be read.
    """
    try:
        if path == STANDARD_INPUT:
            return sys.stdin.buffer.read(MAX_STATE_BYTES + 1)
        return read_bounded(Path(path))
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read ({error.strerror})") from error


def write_file(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file that only its owner can read.

    Args:
        force: whether to replace an existing file; the replacement is atomic.

    Raises:
        click.ClickException: the file exists, or cannot be written.
    """
    try:
        _replace(path, data) if force else _create(path, data)
    except FileExistsError as error:
        raise click.ClickException(f"{path} exists; `--force` replaces it") from error
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror})") from error


@dataclass(frozen=True, kw_only=True)
class LeftState:
    """A state that a build has left on this host."""

    path: Path  #: of the file, or of the work directory
    job: str  #: the job's ID, or how it begins
    data: bytes


def left_state(source: str, work_root: Path, keyring: Keyring) -> LeftState:
    """Return a state that was put aside, or that of a work directory that recovery does not take.

    Args:
        source: a path, or the job's ID or a unique prefix of it.

    Raises:
        click.ClickException: there is no such state, or a process may still change it.
        SealedError: it is sealed, and does not open.
    """
    path = Path(source).absolute()
    if NAME.fullmatch(path.name) and path.is_dir():
        return LeftState(path=path, job=path.name.partition("-")[0], data=_directory_state(path))
    file, job_id = orphan_file(source, work_root)
    data = opened_orphan(read_file(str(file)), job_id, keyring)
    return LeftState(path=file, job=str(job_id), data=data)


def _directory_state(path: Path) -> bytes:
    for pid in processes_in(path):
        raise click.ClickException(f"process {pid} still runs in {path}; stop it first")
    state = newest_state(path / "template")
    if state is None:
        raise click.ClickException(f"{path} has no complete state")
    return state.data


def orphan_file(source: str, work_root: Path) -> tuple[Path, uuid.UUID]:
    """Return the file of an orphaned state, and the job in its name.

    Args:
        source: a path, or the job's ID or a unique prefix of it.

    Raises:
        click.ClickException: there is no such file.
    """
    path = Path(source)
    return (path, _job_of(path)) if _is_file(path) else _find_orphan(source, work_root)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file can have that name
        return False


def _job_of(path: Path) -> uuid.UUID:
    job_id = job_of(path)
    if job_id is None:
        raise click.ClickException(
            f"the name of {path} has no job ID; `provisionerd state push` stores any state"
        )
    return job_id


def _find_orphan(source: str, work_root: Path) -> tuple[Path, uuid.UUID]:
    orphans = find_orphaned_states(work_root)
    # An empty text, such as an unset variable of a shell, begins every ID.
    found = [o for o in orphans if source and str(o.job_id).startswith(source.lower())]
    if len(found) != 1:
        which = "several orphaned states begin" if found else "no orphaned state begins"
        raise click.ClickException(
            f"{which} with {source!r} on this host; `provisionerd state list` shows them"
        )
    return found[0].path, found[0].job_id


def rename_adopted(path: Path) -> None:
    """Mark the file of a state that was stored; print a warning if that fails."""
    try:
        mark_adopted(path)
    except OSError as error:
        click.echo(f"Warning: {path} cannot be renamed ({error.strerror}).", err=True)


def _create(path: Path, data: bytes) -> None:
    # O_EXCL also refuses a symbolic link.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _replace(path: Path, data: bytes) -> None:
    descriptor, partial = tempfile.mkstemp(dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(partial).replace(path)
    except OSError:
        Path(partial).unlink(missing_ok=True)
        raise
