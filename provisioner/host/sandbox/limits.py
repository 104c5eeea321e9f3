"""What a job may use of its host, and how much of that it uses (Linux)."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import IntEnum

MAX_FILES = 200_000
"""A job with more files and folders counts as one that is over its limit of disk space."""


_REMOVED = " (deleted)"  # at the end of the name of an open file that has no name any more
_ANONYMOUS = "/memfd:"


class Limit(IntEnum):
    """The limits that end a job's processes."""

    MEMORY = 0
    PROCESSES = 1
    DISK = 2


class Limits:
    """What the processes of one job may use together.

    Args:
        processes: how many there may be; threads count.
        open_files: of each process.
        disk_bytes: in the folders of the job, and of each file.
    """

    def __init__(self, memory_bytes: int, processes: int, open_files: int, disk_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.processes = processes
        self.open_files = open_files
        self.disk_bytes = disk_bytes

    def pack(self) -> tuple[int, int, int, int]:
        """Return the values in the order of the arguments."""
        return (self.memory_bytes, self.processes, self.open_files, self.disk_bytes)


def set_limits(limits: Limits) -> None:
    """Limit what each process may use on its own: this one, and those that it starts."""
    for kind, value in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.disk_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        set_limit(kind, value)


def set_limit(kind: int, value: int) -> None:
    """Set the soft and the hard limit of a kind to the value, or to the hard limit if lower."""
    _soft, hard = resource.getrlimit(kind)
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (least, least))


def measure(limits: Limits, pids: Sequence[int], folders: Sequence[str]) -> Limit | None:
    """Return the first limit that the processes and folders of a job have reached."""
    usages = [_usage(pid) for pid in pids]
    in_memory, on_disk = _nameless_files(pids)
    # Some of the files in memory are mapped, and so counted for the processes, too.
    shared = max(sum(mapped for _own, mapped, _threads in usages), in_memory)
    if sum(own for own, _mapped, _threads in usages) + shared > limits.memory_bytes:
        return Limit.MEMORY
    if sum(threads for _own, _mapped, threads in usages) >= limits.processes:
        return Limit.PROCESSES
    if on_disk > limits.disk_bytes or _are_larger(folders, limits.disk_bytes - on_disk):
        return Limit.DISK
    return None


def _usage(pid: int) -> tuple[int, int, int]:
    """Return what a process needs: bytes of its own and of files in memory, and its threads."""
    found = {b"RssAnon": 0, b"RssShmem": 0, b"Threads": 0}
    with suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
        for line in file:
            name, _colon, value = line.partition(b":")
            if name in found:
                found[name] = int(value.split()[0])
    return found[b"RssAnon"] * 1024, found[b"RssShmem"] * 1024, found[b"Threads"]


def _nameless_files(pids: Sequence[int]) -> tuple[int, int]:
    """Return the bytes in memory and on disk of open files that are in no folder.

    These are anonymous files (``memfd_create``), and those that were removed while they were open.
    """
    sizes = {True: 0, False: 0}
    seen = set()
    for path in _descriptors(pids):
        with suppress(OSError):  # it was closed meanwhile
            target = os.readlink(path)  # noqa: PTH115 -- importing pathlib takes too long here
            if not target.endswith(_REMOVED):
                continue
            found = os.stat(path)  # noqa: PTH116
            is_new = (found.st_dev, found.st_ino) not in seen
            if found.st_nlink == 0 and stat.S_ISREG(found.st_mode) and is_new:
                seen.add((found.st_dev, found.st_ino))
                sizes[target.startswith(_ANONYMOUS)] += found.st_blocks * 512
    return sizes[True], sizes[False]


def _descriptors(pids: Sequence[int]) -> Iterator[str]:
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        with suppress(OSError):  # it has ended
            for name in os.listdir(folder):  # noqa: PTH208
                yield f"{folder}/{name}"


def _are_larger(folders: Sequence[str], limit: int) -> bool:
    """Return whether the files in the folders take more than ``limit`` bytes, or are too many."""
    total = 0
    for number, size in enumerate(_sizes(folders)):
        total += size
        if total > limit or number >= MAX_FILES:
            return True
    return False


def _sizes(folders: Sequence[str]) -> Iterator[int]:
    """Yield the bytes on disk of each file; a path that is too long counts as too many files."""
    waiting = list(folders)
    linked = set()
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                yield from (0 for _ in range(MAX_FILES + 1))
            continue
        for entry in entries:
            with suppress(OSError):  # it was removed meanwhile
                found = entry.stat(follow_symlinks=False)
                if found.st_nlink == 1 or found.st_ino not in linked:
                    yield found.st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif found.st_nlink > 1:
                    linked.add(found.st_ino)
