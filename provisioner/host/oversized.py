"""State files that are too large to be stored: they are moved to where a person finds them.

They are not read into memory, so they are not sealed either.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

import structlog

from db.jobs.statefiles import MAX_STATE_BYTES
from provisioner.host.orphans import make_folder, orphan_path
from provisioner.host.workdir import ERRORED_STATE_FILE, STATE_FILE, WorkDirectory

MAX_KEPT_BYTES = 4 * 1024**3
"""Of all states that were put aside on a host together. A template must not fill the disk."""

_HEAD = 4096
_LOOKS_LIKE_STATE = re.compile(rb'\s*\{\s*"version".*"serial".*"lineage"', re.DOTALL)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

log = structlog.get_logger("provisioner")


def keep_oversized_state(directory: WorkDirectory) -> Path | None:
    """Move a state file out of a work directory if it is too large to be stored, and log it.

    No process may run in the directory any more.

    Returns:
        Where it is kept; None: there is none, or it is not kept.
    """
    try:
        folder = os.open(directory.template, _FOLDER)
    except OSError:
        return None
    try:
        for name in (ERRORED_STATE_FILE, STATE_FILE):
            if size := _size_if_oversized(folder, name):
                return _keep(directory, folder, name, size)
    finally:
        os.close(folder)
    return None


def _size_if_oversized(folder: int, name: str) -> int:
    """Return the size of a state that is too large, 0 for any other file."""
    try:
        file = os.open(name, _FILE, dir_fd=folder)
    except OSError:
        return 0
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size <= MAX_STATE_BYTES:
            return 0
        return facts.st_size if _LOOKS_LIKE_STATE.match(os.read(file, _HEAD)) else 0
    except OSError:
        return 0
    finally:
        os.close(file)


def _keep(directory: WorkDirectory, folder: int, name: str, size: int) -> Path | None:
    job_id = directory.lease.job_id
    root = directory.path.parent
    target = orphan_path(root, job_id)
    kept = sum(path.lstat().st_size for path in make_folder(root).iterdir())
    if kept + size > MAX_KEPT_BYTES:
        log.error("state.dropped", job_id=str(job_id), bytes=size, kept_bytes=kept)
        return None
    os.rename(name, target, src_dir_fd=folder)
    with suppress(OSError):  # an ordinary user owns it already
        os.chown(target, os.geteuid(), os.getegid(), follow_symlinks=False)
    target.chmod(0o600)
    log.error("state.too_large", job_id=str(job_id), bytes=size, kept_at=str(target))
    return target
