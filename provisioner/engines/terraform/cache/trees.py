"""Directory trees that are copied cheaply, and compared with how they once were.

Large files are hard links of each other: a provider package of 400 MB is stored once, however
many builds use it. Small ones, which Terraform or git may write in place (``modules.json``, the
backend's record), are copies.
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
"""A file of at most this many bytes is copied, and compared by its SHA-256."""

Manifest = dict[str, str]
"""What a tree consists of: a line of facts by relative path."""

_CANNOT_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP}


def copy_tree(source: Path, target: Path) -> None:
    """Make ``target`` a tree like ``source``, with directories of its own.

    Raises:
        OSError: ``target`` exists, the disk is full, or ``source`` vanished meanwhile.
    """
    shutil.copytree(source, target, symlinks=True, copy_function=_copy_file)


def describe_tree(tree: Path, *, is_whole: bool = False) -> Manifest:
    """Return what the tree consists of.

    Args:
        tree: a directory.
        is_whole: read large files too. Otherwise they are told by size and time of change:
            reading a provider takes a second, and Terraform itself compares it with the lock
            file before it starts it.

    Raises:
        OSError: the tree cannot be read.
    """
    return dict(_described(tree, "", is_whole=is_whole))


def protect_tree(tree: Path) -> None:
    """Make read-only what copies of the tree will share.

    Raises:
        OSError: the tree cannot be changed.
    """
    for path in tree.rglob("*"):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_size > MAX_COPIED:
            path.chmod(found.st_mode & ~0o222)


def sizes_of(tree: Path) -> dict[tuple[int, int], int]:
    """Return the bytes on disk of each file and directory, by device and inode."""
    sizes = {}
    for folder, _names, files in os.walk(tree):
        for path in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118 -- os.walk
            found = os.lstat(path)
            sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sizes


def _copy_file(source: str, target: str) -> None:
    if os.lstat(source).st_size > MAX_COPIED:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
        else:
            return
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
