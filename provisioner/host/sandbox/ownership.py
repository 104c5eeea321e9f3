"""A user of its own for each build, when the worker is root.

The user has no name and owns nothing but the directories of its build. It is found from the work
directory's inode, so that two builds of a host have different ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_FIRST_OF_MANY = 0x7000_0000
_MANY = 0x0FFF_FFFF
_FIRST_OF_FEW = 20_000
_FEW = 40_000
"""Where this host has only the 65,536 users of a container."""


def build_user(folder: Path) -> int | None:
    """Return the user id for the build that works in ``folder``; None unless this is root.

    Raises:
        OSError: there is no such folder.
    """
    if os.geteuid() != 0:
        return None
    inode = folder.stat().st_ino
    if _has_many_users():
        return _FIRST_OF_MANY + inode % _MANY
    return _FIRST_OF_FEW + inode % _FEW


def give(folders: Iterable[Path], user: int) -> None:
    """Make the user the owner of the folders, and of what is in them.

    A file with several names stays root's: it is a provider that other builds share.

    Raises:
        OSError: a folder cannot be changed.
    """
    for folder in folders:
        os.chown(folder, user, user, follow_symlinks=False)
        for _path, names, files, directory in os.fwalk(folder):
            for name in (*names, *files):
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if found.st_uid != user and (found.st_nlink == 1 or name in names):
                    os.chown(name, user, user, dir_fd=directory, follow_symlinks=False)


def _has_many_users() -> bool:
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    return any(int(line.split()[2]) > _FIRST_OF_MANY + _MANY for line in lines)
