"""The template archive: a plain tar that this module checks and unpacks by its own rules.

``tarfile`` extracts nothing here. Its extraction filters have been bypassed several times
(CVE-2024-12718, CVE-2025-4517, CVE-2026-82049), so the headers are read one block at a time,
every member is checked before the first byte is written, and this module writes the files.
An archive that breaks a rule is refused as a whole; nothing is skipped or truncated.
"""

from __future__ import annotations

import functools
import os
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from provisioner.host.members import ArchiveError, Member, read_members

TemplateFiles = Mapping[str, memoryview]
"""The content of each file of a template, by its path in the archive."""

_PLANTED = (".terraform", "*.tfstate", "*.tfstate.*")
"""Names of what Terraform itself makes, and would use although no configuration refers to it."""
_SETTINGS = ("terraform.d", ".terraform.d", ".terraformrc", "terraform.rc", "*.tfrc", "*.tfrc.json")
"""Names of what tells Terraform where providers come from, which only the operator decides."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """The maximum size of a template."""

    max_upload_bytes: int = 1024 * 1024  #: of the packed archive
    max_entries: int = 10_000  #: files and directories
    max_total_bytes: int = 100 * 1024 * 1024  #: of all files together
    max_file_bytes: int = 20 * 1024 * 1024  #: of one file
    max_depth: int = 16  #: components of a path
    max_path_bytes: int = 255  #: of a path in UTF-8


DEFAULT_LIMITS = ArchiveLimits()
STREAM_LIMITS = ArchiveLimits(max_upload_bytes=100 * 1024 * 1024)
"""Of a tar that somebody made on purpose; a folder may have a forgotten disk image in it."""
_CACHED_BYTES = 1024 * 1024


def check_upload_size(size: int, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> None:
    """Refuse an archive of more than ``limits.max_upload_bytes``.

    Raises:
        ArchiveError: ``size`` in bytes is too big.
    """
    if size > limits.max_upload_bytes:
        raise ArchiveError(f"Archive too big. Must be <= {limits.max_upload_bytes} bytes")


def read_archive(archive: bytes, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> TemplateFiles:
    """Return the content of each file of a template, by its path, without unpacking it.

    Raises:
        ArchiveError: as ``unpack_template`` does.
    """
    return {path: member.data for path, member in _checked(archive, limits).files.items()}


def unpack_template(
    archive: bytes, directory: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS
) -> None:
    """Unpack a template into ``directory``, which is made if it does not exist.

    The whole archive is checked first: if it is refused, nothing has been written. Files get
    mode 0600 (0700 if the archive says executable), directories 0700. Nothing that exists is
    opened or replaced.

    Raises:
        ArchiveError: the archive is not a plain, complete tar of harmless files within the limits.
    """
    content = _checked(archive, limits)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in content.folders:
        _make_folder(path, directory / path)
    for path, member in content.files.items():
        _make_file(path, directory / path, member)


@dataclass(frozen=True, kw_only=True)
class _Content:
    """The folders and files of an archive; a folder comes before its content."""

    folders: dict[str, None] = field(default_factory=dict)  #: used as an ordered set
    files: dict[str, Member] = field(default_factory=dict)


def _checked(archive: bytes, limits: ArchiveLimits) -> _Content:
    # The cache keeps the archives themselves, so it must not keep large ones.
    return (_checked_once if len(archive) <= _CACHED_BYTES else _check)(archive, limits)


# All builds of a template version use the same archive: the cache saves each but the first 0.1 ms.
@functools.lru_cache(maxsize=32)
def _checked_once(archive: bytes, limits: ArchiveLimits) -> _Content:
    return _check(archive, limits)


def _check(archive: bytes, limits: ArchiveLimits) -> _Content:
    content = _Content()
    listed: set[str] = set()
    spelling: dict[str, str] = {}
    total_bytes = 0
    for member in read_members(archive):
        total_bytes += len(member.data)
        _check_size(member, total_bytes, limits)
        path = _safe_path(member, limits)
        if path in listed:
            raise ArchiveError(f"the template archive has {path!r} twice")
        listed.add(path)
        _add(path, member, content, spelling)
        if len(content.files) + len(content.folders) > limits.max_entries:
            raise ArchiveError(f"the template archive has more than {limits.max_entries} entries")
    if not content.files:
        raise ArchiveError("the template archive has no files")
    return content


def _check_size(member: Member, total_bytes: int, limits: ArchiveLimits) -> None:
    if len(member.data) > limits.max_file_bytes:
        raise ArchiveError(
            f"{member.name!r} in the template archive is larger than {limits.max_file_bytes} bytes"
        )
    if total_bytes > limits.max_total_bytes:
        raise ArchiveError(
            f"the files of the template archive are larger than {limits.max_total_bytes} bytes"
        )


def _safe_path(member: Member, limits: ArchiveLimits) -> str:
    """Return the member's path relative to the template's root, ``""`` for the root itself."""
    name = member.name.removesuffix("/") if member.is_directory else member.name
    if name == "." and member.is_directory:
        return ""
    path = name.removeprefix("./")
    _check_inside(name, path)
    _check_length(name, path, limits)
    _check_names(name, path)
    return path


def _check_inside(name: str, path: str) -> None:
    if not path.isprintable() or "\\" in path:
        raise ArchiveError(f"the template archive has the unusable file name {name!r}")
    if not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ArchiveError(f"{name!r} in the template archive is not a path inside the template")


def _check_length(name: str, path: str, limits: ArchiveLimits) -> None:
    if len(path.encode()) > limits.max_path_bytes or path.count("/") >= limits.max_depth:
        raise ArchiveError(
            f"the path {name!r} in the template archive is longer than {limits.max_path_bytes} "
            f"bytes or deeper than {limits.max_depth} levels"
        )


def _check_names(name: str, path: str) -> None:
    if _has_any(path, _PLANTED):
        raise ArchiveError(
            f"the template archive has {name!r}, which only Terraform itself may make; remove it"
        )
    if _has_any(path, _SETTINGS):
        raise ArchiveError(
            f"the template archive has {name!r}, which says where providers come from;"
            " only the operator of the workers may do that, so remove it"
        )


def _has_any(path: str, patterns: tuple[str, ...]) -> bool:
    return any(
        fnmatchcase(_folded(part), pattern) for part in path.split("/") for pattern in patterns
    )


def _add(path: str, member: Member, content: _Content, spelling: dict[str, str]) -> None:
    for folder in _folders_of(path, member):
        _check_spelling(folder, spelling)
        _check_kind(folder, content.files)
        content.folders[folder] = None
    if not member.is_directory:
        _check_spelling(path, spelling)
        _check_kind(path, content.folders)
        content.files[path] = member


def _folders_of(path: str, member: Member) -> list[str]:
    """Return the folders that a member needs, parents first; a folder itself is the last."""
    parts = path.split("/")
    folders = ["/".join(parts[:end]) for end in range(1, len(parts))]
    return [*folders, path] if member.is_directory and path else folders


def _check_kind(path: str, other_kind: Container[str]) -> None:
    if path in other_kind:
        raise ArchiveError(f"{path!r} is a file and a folder in the template archive")


def _check_spelling(path: str, spelling: dict[str, str]) -> None:
    known = spelling.setdefault(_folded(path), path)
    if known != path:
        raise ArchiveError(f"{path!r} and {known!r} in the template archive differ only in case")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _make_file(name: str, path: Path, member: Member) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o700 if member.is_executable else 0o600)
    except FileExistsError:
        raise ArchiveError(f"{name!r} exists already where the template is unpacked") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(member.data)


def _make_folder(name: str, path: Path) -> None:
    # A folder that exists is refused, so no folder of a path can be a link.
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise ArchiveError(f"{name!r} exists already where the template is unpacked") from None
