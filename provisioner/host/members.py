"""Read the members of a tar, header by header; nothing about the rules for templates."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK_BYTES = 512
_EXTENSIONS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME}
"""Header types that describe the next member or all members."""
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")


class ArchiveError(Exception):
    """The template cannot be packed or unpacked; the message is one sentence for its author."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file or a folder in a tar."""

    name: str
    data: memoryview
    is_directory: bool
    is_executable: bool


def read_members(archive: bytes) -> Iterator[Member]:
    """Yield the members of a tar; every length is checked against the bytes that remain.

    ``TarFile`` is not used: it mistakes a damaged header for the end of the archive, and hostile
    extension headers have made it loop (CVE-2025-8194) and backtrack (CVE-2024-6232).

    Raises:
        ArchiveError: it is not a plain, complete tar of files and folders.
    """
    if archive.startswith(_COMPRESSED):
        raise ArchiveError("the template archive is compressed; send a plain tar")
    offset = 0
    override: str | None = None
    while any(block := archive[offset : offset + _BLOCK_BYTES]):
        header = _header(block)
        data = _data(archive, offset + _BLOCK_BYTES, header)
        offset += _BLOCK_BYTES + -(-header.size // _BLOCK_BYTES) * _BLOCK_BYTES
        if header.type in _EXTENSIONS:
            override = _override(header, bytes(data)) or override
            continue
        yield _member(header, override or _text(header.name), data)
        override = None
    _check_end(archive, offset, override)


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise ArchiveError("the template archive is damaged or is not a tar") from None


def _data(archive: bytes, start: int, header: tarfile.TarInfo) -> memoryview:
    if not 0 <= header.size <= len(archive) - start:
        raise ArchiveError("the template archive is cut off or damaged")
    return memoryview(archive)[start : start + header.size]


def _member(header: tarfile.TarInfo, name: str, data: memoryview) -> Member:
    is_directory = header.type == tarfile.DIRTYPE
    if header.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}:
        raise ArchiveError(
            f"{name!r} in the template archive is a link or a special file; "
            "a template may contain only files and folders"
        )
    if is_directory and data:
        raise ArchiveError(f"the folder {name!r} in the template archive has content")
    is_executable = bool(header.mode & stat.S_IXUSR)
    return Member(name=name, data=data, is_directory=is_directory, is_executable=is_executable)


def _override(header: tarfile.TarInfo, data: bytes) -> str | None:
    """Return the name that an extension header gives to the next member, if any."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return _decoded(data.removesuffix(b"\0"))
    records = dict(_records(data))
    is_global = header.type == tarfile.XGLTYPE
    if any(_is_forbidden(key, is_global=is_global) for key in records):
        raise ArchiveError("the template archive uses tar extensions that are not allowed")
    return records.get("path")


def _is_forbidden(key: str, *, is_global: bool) -> bool:
    # A sparse file, or a size that differs from the header's, would be unpacked differently from
    # what the template's author sees. A global path would rename every file.
    return key == "size" or key.startswith("GNU.sparse.") or (is_global and key == "path")


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    while data:
        length, _, rest = data.partition(b" ")
        size = _record_size(length)
        key, equals, value = rest[:size].partition(b"=")
        if not 0 < size <= len(rest) or not equals or not value.endswith(b"\n"):
            raise ArchiveError("the template archive has a damaged extension header")
        yield _decoded(key), _decoded(value[:-1])
        data = rest[size:]


def _record_size(length: bytes) -> int:
    """Return the bytes of a record after its length field, 0 if that is not a number."""
    is_number = length.isdigit() and len(length) < 8
    return int(length) - len(length) - 1 if is_number else 0


def _decoded(value: bytes) -> str:
    return _text(value.decode("utf-8", "surrogateescape"))


def _text(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ArchiveError(f"the template archive has the name {name!r}, not UTF-8") from None
    return name


def _check_end(archive: bytes, offset: int, override: str | None) -> None:
    # A tar ends with two empty blocks; a shorter one may have been cut off in the middle.
    if override is not None or len(archive) < offset + 2 * _BLOCK_BYTES:
        raise ArchiveError("the template archive is cut off")
    if archive[offset:].strip(b"\0"):
        raise ArchiveError("the template archive has other data after its end")
