"""Copy directory trees cheaply, and describe them so that changes can be found.

Large files are hard links: a provider package of 400 MB is stored once, for any number of builds.
Small files, which Terraform or git may write in place (``modules.json``, the backend's record),
are copied.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_COPIED = 1024 * 1024
"""A file of at most this many bytes is copied, and compared by SHA-256."""

Manifest = dict[str, str]
"""The description of a tree: a line of facts by relative path."""

_CANNOT_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP}


def copy_tree(source: Path, target: Path, *, shares_files: bool = True) -> None:
    """Copy ``source`` to ``target``; only large files are shared, and none if that is not wanted.

    Raises:
        OSError: ``target`` exists, the disk is full, or ``source`` was removed meanwhile.
    """
    copy = _share_or_copy if shares_files else _copy
    shutil.copytree(source, target, symlinks=True, copy_function=copy)


def describe_tree(tree: Path, *, is_whole: bool = False) -> Manifest:
    """Return the description of a tree.

    Args:
        tree: a directory.
        is_whole: read large files too. Otherwise they are described by size and modification
            time: reading a provider takes a second, and Terraform itself compares it with the
            lock file before it starts it.

    Raises:
        OSError: the tree cannot be read.
    """
    return dict(_described(tree, "", is_whole=is_whole))


def is_plain(tree: Path) -> bool:
    """Return whether everything in the tree is a folder or a plain file.

    Raises:
        OSError: the tree cannot be read.
    """
    modes = (path.lstat().st_mode for path in tree.rglob("*"))
    return all(stat.S_ISDIR(mode) or stat.S_ISREG(mode) for mode in modes)


def protect_tree(tree: Path) -> None:
    """Make the files read-only that copies of the tree will share, and everything this user's.

    Raises:
        OSError: the tree cannot be changed.
    """
    for path in (tree, *tree.rglob("*")):
        found = path.lstat()
        if found.st_uid != os.geteuid():  # root's builds run as users of their own
            os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        if stat.S_ISREG(found.st_mode) and found.st_size > MAX_COPIED:
            path.chmod(found.st_mode & ~0o222 | 0o444)


def sizes_of(tree: Path) -> dict[tuple[int, int], int]:
    """Return the bytes on disk of each file and directory, by device and inode."""
    sizes = {}
    for folder, _names, files in os.walk(tree):
        for path in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118 -- os.walk
            found = os.lstat(path)
            sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sizes


def _share_or_copy(source: str, target: str) -> None:
    if os.lstat(source).st_size > MAX_COPIED:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
        else:
            return
    _copy(source, target)


def _copy(source: str, target: str) -> None:
    shutil.copy2(source, target, follow_symlinks=False)


def _described(folder: Path, prefix: str, *, is_whole: bool) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name, path = prefix + entry.name, Path(entry.path)
            if entry.is_symlink():
                yield name, f"link {path.readlink()}"
            elif entry.is_dir():
                yield name, "folder"
                yield from _described(path, f"{name}/", is_whole=is_whole)
            else:
                yield name, _facts(path, is_whole=is_whole)


def _facts(path: Path, *, is_whole: bool) -> str:
    found = path.lstat()
    if found.st_size > MAX_COPIED and not is_whole:
        return f"file {found.st_mode:o} {found.st_size} {found.st_mtime_ns}"
    with path.open("rb") as file:
        return f"file {found.st_mode:o} {hashlib.file_digest(file, 'sha256').hexdigest()}"
