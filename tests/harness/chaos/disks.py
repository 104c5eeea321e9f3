"""Small file systems in memory, to be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CHUNK = b"\0" * 65536
FILLING = "filling"


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A small file system that is mounted at ``folder``."""

    folder: Path

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Have no room left while the block runs."""
        filling = self.folder / FILLING
        with suppress(OSError), filling.open("wb", buffering=0) as file:
            while file.write(CHUNK):
                pass
        try:
            yield
        finally:
            filling.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it; may be repeated."""
        subprocess.run(["umount", "--lazy", self.folder], check=False, capture_output=True)


def mounted_disk(folder: Path, size: str) -> Disk | None:
    """Mount a file system of ``size`` at a new folder; None where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        return None
    return Disk(folder=folder)
