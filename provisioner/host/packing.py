"""Pack a template into an archive: from its folder, or from a tar that somebody else made."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from provisioner.host.archive import (
    DEFAULT_LIMITS,
    STREAM_LIMITS,
    ArchiveLimits,
    check_upload_size,
    read_archive,
)
from provisioner.host.folder import Folder
from provisioner.host.members import ArchiveError

_ROOT_FILE_SUFFIXES = (".tf", ".tf.json", ".tofu", ".tofu.json")


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The archive of a template."""

    archive: bytes
    left_out: tuple[str, ...] = ()  #: paths in the folder that were not packed; folders end in "/"


def pack_folder(
    directory: Path, *, root: Path | None = None, limits: ArchiveLimits = DEFAULT_LIMITS
) -> Packed:
    """Pack the folder of a template; the same files always give the same bytes.

    Dot files (except ``.terraform.lock.hcl``), state files, ``terraform.tfvars`` and
    ``*.auto.tfvars`` are left out: they belong to the person who works on the template. Links are
    followed; the archive has none.

    Args:
        directory: the template's folder.
        root: where links may lead to; by default only the template's folder.
        limits: the maximum size.

    Raises:
        ArchiveError: the folder has no Terraform file in its root, contains a special file or a
            link that leads out of ``root``, cannot be read, or is over a limit.
    """
    try:
        return _pack(directory, root or directory, limits)
    except OSError as error:
        where = error.filename or directory
        raise ArchiveError(f"{where} cannot be read: {error.strerror}") from error


def _pack(directory: Path, root: Path, limits: ArchiveLimits) -> Packed:
    if not directory.is_dir():
        raise ArchiveError(f"{directory} is not a directory; give the folder of the template")
    folder = Folder.read(
        directory, root=root, max_entries=limits.max_entries, max_depth=limits.max_depth
    )
    if not _has_terraform(folder.files):
        raise ArchiveError(
            f"{directory} has no .tf, .tf.json or .tofu file; give the template's folder"
        )
    # The sizes are checked first: a forgotten disk image must not be read into memory.
    check_upload_size(sum(found.stat().st_size for found in folder.files.values()), limits=limits)
    archive = _tar(folder.files, limits)
    check_upload_size(len(archive), limits=limits)
    read_archive(archive, limits=limits)
    return Packed(archive=archive, left_out=folder.left_out)


def pack_template(directory: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> bytes:
    """Return the archive of a template's folder, as ``pack_folder`` makes it.

    Raises:
        ArchiveError: as ``pack_folder`` does.
    """
    return pack_folder(directory, limits=limits).archive


def take_tar(stream: BinaryIO, *, limits: ArchiveLimits = STREAM_LIMITS) -> Packed:
    """Take a tar as the archive of a template, with everything that is in it.

    Raises:
        ArchiveError: it is not a plain tar of files and folders within the limits, or has no
            Terraform file in its root.
    """
    archive = stream.read(limits.max_upload_bytes + 1)
    check_upload_size(len(archive), limits=limits)
    if not _has_terraform(read_archive(archive, limits=limits)):
        raise ArchiveError(
            "the tar has no .tf, .tf.json or .tofu file in its root;"
            " make it in the template's folder: tar --create --dereference ."
        )
    return Packed(archive=archive)


def _has_terraform(names: Iterable[str]) -> bool:
    return any("/" not in name and name.endswith(_ROOT_FILE_SUFFIXES) for name in names)


def _tar(files: Mapping[str, Path], limits: ArchiveLimits) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            content = _read(files[name], limits)
            header = tarfile.TarInfo(name)
            header.size = len(content)
            header.mode = 0o755 if files[name].stat().st_mode & stat.S_IXUSR else 0o644
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def _read(path: Path, limits: ArchiveLimits) -> bytes:
    # It may have grown since its size was checked, or be a file of /proc, which has no size.
    try:
        with path.open("rb") as file:
            content = file.read(limits.max_upload_bytes + 1)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error
    check_upload_size(len(content), limits=limits)
    return content
