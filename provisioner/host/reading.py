"""Reading files where programs of a template may write: never waiting, never through a link.

Such a program can replace a file by a pipe that nobody writes to, by a link to another owner's
file or to an endless device, or by more than fits into memory. It can do the same with a folder.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePath

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OversizedFileError(OSError):
    """A file has more bytes than may be read."""

    def __init__(self, path: PurePath, limit: int) -> None:
        super().__init__(errno.EFBIG, f"larger than {limit} bytes", str(path))


def read_file(folder: Path, name: str | PurePath, *, limit: int) -> bytes:
    """Return the content of a plain file below a folder.

    Args:
        folder: where the template's programs may write; its own parents are ours.
        name: the path below it.
        limit: the largest allowed number of bytes.

    Raises:
        OversizedFileError: it has more.
        OSError: it is missing, is not a plain file, or cannot be read.
    """
    path = PurePath(name)
    descriptor = _open_folder(folder, path.parent)
    try:
        file = os.open(path.name, _FLAGS, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    try:
        return _read(file, path, limit)
    finally:
        os.close(file)


def _open_folder(folder: Path, below: PurePath) -> int:
    """Open a folder part by part, so that none of them can be exchanged for a link."""
    descriptor = os.open(folder, _FLAGS | os.O_DIRECTORY)
    for part in below.parts:
        try:
            inner = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _read(descriptor: int, path: PurePath, limit: int) -> bytes:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    if facts.st_size > limit:
        raise OversizedFileError(path, limit)
    data = bytearray()
    # It may grow meanwhile.
    while piece := os.read(descriptor, limit + 1 - len(data)):
        data += piece
        if len(data) > limit:
            raise OversizedFileError(path, limit)
    return bytes(data)
