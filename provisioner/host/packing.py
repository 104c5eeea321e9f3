"""Pack the folder of a template into an archive."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from provisioner.host.archive import (
    DEFAULT_LIMITS,
    ArchiveLimits,
    check_upload_size,
    read_archive,
)
from provisioner.host.members import ArchiveError

_LOCK_FILE = ".terraform.lock.hcl"
_ROOT_FILE_SUFFIXES = (".tf", ".tf.json")
_NEVER_PACKED = (
    "*.tfstate*",
    "terraform.tfvars",
    "terraform.tfvars.json",
    "*.auto.tfvars",
    "*.auto.tfvars.json",
)


def pack_template(directory: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> bytes:
    """Pack the folder of a template; the same files always give the same bytes.

    Dot files (except ``.terraform.lock.hcl``), state files, ``terraform.tfvars`` and
    ``*.auto.tfvars`` are left out: they belong to the person who works on the template.

    Raises:
        ArchiveError: the folder has no Terraform file in its root, contains a link or a special
            file, or is over a limit.
    """
    if not directory.is_dir():
        raise ArchiveError(f"{directory} is not a directory; give the folder of the template")
    files = dict(_files_of(directory))
    if not any(_is_terraform(name) for name in files):
        raise ArchiveError(f"{directory} has no .tf or .tf.json file; give the template's folder")
    # The sizes are checked first: a forgotten disk image must not be read into memory.
    check_upload_size(sum(found.stat().st_size for found in files.values()), limits=limits)
    archive = _tar(files)
    check_upload_size(len(archive), limits=limits)
    read_archive(archive, limits=limits)
    return archive


def _files_of(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files to pack with their paths in the archive."""
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if not _is_left_out(entry.name):
            yield from _entry(entry)


def _entry(entry: Path) -> Iterator[tuple[str, Path]]:
    mode = entry.lstat().st_mode
    if stat.S_ISDIR(mode):
        yield from ((f"{entry.name}/{name}", path) for name, path in _files_of(entry))
    elif stat.S_ISREG(mode):
        yield entry.name, entry
    else:
        raise ArchiveError(
            f"{entry} is a link or a special file; a template may contain only files and folders"
        )


def _is_terraform(name: str) -> bool:
    return "/" not in name and name.endswith(_ROOT_FILE_SUFFIXES)


def _is_left_out(name: str) -> bool:
    if name.startswith("."):
        return name != _LOCK_FILE
    return any(fnmatchcase(name, pattern) for pattern in _NEVER_PACKED)


def _tar(files: dict[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            content = files[name].read_bytes()
            header = tarfile.TarInfo(name)
            header.size = len(content)
            header.mode = 0o755 if files[name].stat().st_mode & stat.S_IXUSR else 0o644
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()
