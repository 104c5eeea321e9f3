"""Zip archives as tars, and tars as zips, within limits."""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import dataclass

MAX_EXPANDED_BYTES = 100 * 1024 * 1024
MAX_ENTRIES = 10_000
BLOCK_BYTES = 512
END_OF_TAR = bytes(2 * BLOCK_BYTES)
NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(eq=False)
class ArchiveRefusedError(Exception):
    """An archive cannot be converted."""

    reason: str
    is_too_large: bool = False

    def __str__(self) -> str:
        return self.reason


def ended_tar(data: bytes) -> bytes:
    """Return a tar with the blocks that end one; Coder's command line leaves them out.

    HTTP says where the upload ends, so an archive without them was not cut off on the way.
    """
    is_whole = data and len(data) % BLOCK_BYTES == 0
    return data + END_OF_TAR if is_whole and not data.endswith(END_OF_TAR) else data


def as_tar(data: bytes) -> bytes:
    """Return the files of a zip as a tar.

    Raises:
        ArchiveRefusedError: it is not a zip, or is too large when expanded.
    """
    output = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(data)) as archive,
            tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            entries = archive.infolist()
            _check(len(entries), sum(entry.file_size for entry in entries))
            for entry in entries:
                _add(tar, archive, entry)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ArchiveRefusedError("The zip archive cannot be read.") from error
    return output.getvalue()


def _add(tar: tarfile.TarFile, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    member = tarfile.TarInfo(entry.filename)
    if entry.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    # zipfile reads no more than the size that the entry declares, which was checked.
    content = archive.read(entry)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def as_zip(data: bytes) -> bytes:
    """Return the files of a tar as a zip.

    Raises:
        ArchiveRefusedError: it is not a tar, or is too large.
    """
    output = io.BytesIO()
    try:
        with (
            tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar,
            zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            members = [member for member in tar if member.isfile()]
            _check(len(members), sum(member.size for member in members))
            for member in members:
                content = tar.extractfile(member)
                assert content is not None
                archive.writestr(zipfile.ZipInfo(member.name, NO_TIME), content.read())
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ArchiveRefusedError("The archive cannot be read as a tar.") from error
    return output.getvalue()


def _check(entries: int, size: int) -> None:
    if entries > MAX_ENTRIES or size > MAX_EXPANDED_BYTES:
        raise ArchiveRefusedError("The archive is too large when expanded.", is_too_large=True)
