"""Locks on files and folders that end with the process that holds them."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path


def try_lock(descriptor: int) -> bool:
    """Lock an open file only for this process, and return whether nobody else has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_unlocked(directory: Path) -> None:
    """Remove a directory and what is in it, unless somebody has locked it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if try_lock(descriptor):
            shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(descriptor)
