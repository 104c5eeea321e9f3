"""The paths of a host that an operator shows to the commands of templates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

WRITABLE = ":rw"
"""The end of an entry that commands may also write."""


@dataclass(frozen=True, kw_only=True)
class SharedPaths:
    """Paths that all commands see in addition to their own."""

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()


def read_paths(entries: Iterable[str]) -> SharedPaths:
    """Return the paths of the operator's list, such as ``/opt/tools`` or ``/srv/cache:rw``.

    Raises:
        ValueError: an entry is not an absolute path, or is the root of the file system.
    """
    readable: list[Path] = []
    writable: list[Path] = []
    for entry in entries:
        path = Path(entry.removesuffix(WRITABLE))
        if not path.is_absolute() or path == Path("/"):
            raise ValueError(f"{entry!r} is not an absolute path below /")
        (writable if entry.endswith(WRITABLE) else readable).append(path)
    return SharedPaths(readable=tuple(readable), writable=tuple(writable))
