"""Removing what programs of a template have left, whatever they have made of it.

They can nest folders deeper than Python's stack or a path may be, take away the rights to enter
them, and put links into them. Each folder is moved next to the top before it is emptied, so that
nothing here depends on the depth; nothing is ever followed.
"""

from __future__ import annotations

import itertools
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

LIMIT_S = 30.0
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN = 0o700


def remove_tree(path: Path, *, limit_s: float = LIMIT_S) -> bool:
    """Remove a file, a link, or a folder with all that is in it.

    Args:
        limit_s: how long this may take, in seconds.

    Returns:
        Whether it is gone. If not, another call goes on.
    """
    until = time.monotonic() + limit_s
    try:
        parent = os.open(path.parent, _FLAGS)
    except OSError:
        return not path.parent.exists()
    try:
        return _remove(parent, path.name, until)
    finally:
        os.close(parent)


def _remove(parent: int, name: str, until: float) -> bool:
    if not _is_folder(parent, name):
        with suppress(OSError):
            os.unlink(name, dir_fd=parent)
        return not _exists(parent, name)
    try:
        top = _open(parent, name)
    except OSError:
        return not _exists(parent, name)
    try:
        _empty(top, until)
    finally:
        os.close(top)
    with suppress(OSError):
        os.rmdir(name, dir_fd=parent)
    return not _exists(parent, name)


def _empty(top: int, until: float) -> None:
    """Empty a folder; the folders in it become its own children first."""
    fresh = itertools.count()
    _lift(top, top, fresh, until)
    left_before = -1
    while (folders := [name for name in _names(top) if _is_folder(top, name)]) and (
        len(folders) != left_before
    ):
        left_before = len(folders)
        for name in folders:
            if time.monotonic() > until:
                return
            _empty_child(top, name, fresh, until)
            left_before = -1 if not _exists(top, name) else left_before


def _empty_child(top: int, name: str, fresh: itertools.count[int], until: float) -> None:
    with suppress(OSError):
        child = _open(top, name)
        try:
            _lift(child, top, fresh, until)
        finally:
            os.close(child)
        os.rmdir(name, dir_fd=top)


def _lift(folder: int, top: int, fresh: itertools.count[int], until: float) -> None:
    """Delete the files of a folder, and move its folders to the top."""
    for name in _names(folder):
        if time.monotonic() > until:
            return
        with suppress(OSError):
            if not _is_folder(folder, name):
                os.unlink(name, dir_fd=folder)
            elif folder != top:
                _make_own(folder, name)
                os.rename(name, _free_name(top, fresh), src_dir_fd=folder, dst_dir_fd=top)


def _free_name(top: int, fresh: itertools.count[int]) -> str:
    return next(name for number in fresh if not _exists(top, name := f"gone-{number}"))


def _open(parent: int, name: str) -> int:
    """Open a folder that its owner may have locked."""
    _make_own(parent, name)
    return os.open(name, _FLAGS, dir_fd=parent)


def _make_own(parent: int, name: str) -> None:
    # By a descriptor that follows nothing: chmod itself would follow a link.
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.chmod(f"/proc/self/fd/{descriptor}", _OWN)  # noqa: PTH101 -- of a descriptor
    finally:
        os.close(descriptor)


def _names(folder: int) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []


def _is_folder(parent: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _exists(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
