"""Files of ``provisionerd state``: read with a bound, written for their owner alone."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from pathlib import Path

import click

from db.jobs.statefiles import MAX_STATE_BYTES
from provisioner.host.orphans import find_orphaned_states, job_of, mark_adopted, read_bounded

STANDARD_INPUT = "-"


def read_file(path: str) -> bytes:
    """Return a file's content, or that of standard input for ``-``, cut beyond a state's limit.

    Raises:
        click.ClickException: it cannot be read; one sentence.
    """
    try:
        if path == STANDARD_INPUT:
            return sys.stdin.buffer.read(MAX_STATE_BYTES + 1)
        return read_bounded(Path(path))
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read ({error.strerror})") from error


def write_file(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file that its owner alone can read.

    Args:
        force: whether a file that is there already is replaced, whole or not at all.

    Raises:
        click.ClickException: there is one, or it cannot be written; one sentence.
    """
    try:
        _replace(path, data) if force else _create(path, data)
    except FileExistsError as error:
        raise click.ClickException(f"{path} exists; `--force` replaces it") from error
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror})") from error


def orphan_file(source: str, work_root: Path) -> tuple[Path, uuid.UUID]:
    """Return the file of an orphaned state and the job that it is named for.

    Args:
        source: a path, or the job's id or a unique prefix of it.

    Raises:
        click.ClickException: there is no such file; one sentence.
    """
    if (path := Path(source)).is_file():
        job_id = job_of(path)
        if job_id is None:
            raise click.ClickException(
                f"{source} is not named for a job; `provisionerd state push` stores any state"
            )
        return path, job_id
    orphans = find_orphaned_states(work_root)
    found = [orphan for orphan in orphans if str(orphan.job_id).startswith(source.lower())]
    if len(found) != 1:
        which = "several orphaned states begin" if found else "no orphaned state begins"
        raise click.ClickException(
            f"{which} with {source!r} on this host; `provisionerd state list` shows them"
        )
    return found[0].path, found[0].job_id


def rename_adopted(path: Path) -> None:
    """Mark the file of a state that is stored now; a warning if that fails."""
    try:
        mark_adopted(path)
    except OSError as error:
        click.echo(f"Warning: {path} cannot be renamed ({error.strerror}).", err=True)


def _create(path: Path, data: bytes) -> None:
    # O_EXCL does not follow a symbolic link either.
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
