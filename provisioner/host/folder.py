"""The folder of a template on its author's machine: which files belong to it, links followed."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

from provisioner.host.members import ArchiveError

_LOCK_FILE = ".terraform.lock.hcl"
_NEVER_PACKED = (
    "*.tfstate*",
    "terraform.tfvars",
    "terraform.tfvars.json",
    "*.auto.tfvars",
    "*.auto.tfvars.json",
)


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The files of a template by their paths in the archive, and what is left out of it."""

    files: Mapping[str, Path]
    left_out: tuple[str, ...]

    @classmethod
    def read(cls, directory: Path, *, root: Path, max_entries: int, max_depth: int) -> Self:
        """Read a folder. A link counts as what it leads to, which must be in ``root``.

        Raises:
            ArchiveError: a link leads out of ``root``, to nothing or in a circle, something is
                neither a file nor a folder, or there are too many entries or levels.
            OSError: a folder cannot be read.
        """
        walk = _Walk(root=root.resolve(), max_entries=max_entries, max_depth=max_depth)
        walk.enter(directory, "", ())
        return cls(files=walk.files, left_out=tuple(walk.left_out))


@dataclass(kw_only=True)
class _Walk:
    root: Path
    max_entries: int
    max_depth: int
    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    seen: int = 0

    def enter(self, directory: Path, prefix: str, above: tuple[Path, ...]) -> None:
        """Take what is in a folder; ``above`` are the folders that it is in, without links."""
        if len(above) >= self.max_depth:
            raise ArchiveError(f"{directory} is deeper than {self.max_depth} levels")
        real = directory.resolve()
        if real in above:
            raise ArchiveError(f"{directory} is a link that leads in a circle")
        entries = sorted(directory.iterdir(), key=lambda entry: entry.name)
        if prefix and not entries:
            self.left_out.append(prefix)
        for entry in entries:
            self._take(entry, f"{prefix}{entry.name}", (*above, real))

    def _take(self, entry: Path, name: str, above: tuple[Path, ...]) -> None:
        self._count()
        if _is_left_out(entry.name):
            self.left_out.append(f"{name}/" if entry.is_dir() else name)
            return
        mode = self._followed(entry).lstat().st_mode
        if stat.S_ISDIR(mode):
            self.enter(entry, f"{name}/", above)
        elif stat.S_ISREG(mode):
            self.files[name] = entry
        else:
            raise ArchiveError(
                f"{entry} is a special file; a template may contain only files and folders"
            )

    def _count(self) -> None:
        self.seen += 1
        if self.seen > self.max_entries:
            raise ArchiveError(f"the template has more than {self.max_entries} files and folders")

    def _followed(self, entry: Path) -> Path:
        """Return the entry itself, or what it leads to."""
        if not entry.is_symlink():
            return entry
        try:
            target = entry.resolve(strict=True)
        except (OSError, RuntimeError):
            raise ArchiveError(f"{entry} is a link that leads nowhere") from None
        if not target.is_relative_to(self.root):
            raise ArchiveError(
                f"{entry} is a link to {target}, outside of {self.root};"
                " --root DIR follows the links that stay in DIR, and `push -` takes a tar"
            )
        return target


def _is_left_out(name: str) -> bool:
    if name.startswith("."):
        return name != _LOCK_FILE
    return any(fnmatchcase(name, pattern) for pattern in _NEVER_PACKED)
