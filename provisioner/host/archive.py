"""The template archive: a plain tar that the daemon packs and unpacks with its own rules.

``tarfile`` extracts nothing here. Its extraction filters have been bypassed again and again
(CVE-2024-12718, CVE-2025-4517, CVE-2026-82049), so the headers are read one block at a time,
every member is judged before the first byte is written, and the files are made by this module.
What does not fit the rules is refused as a whole; nothing is skipped or cut.
"""

from __future__ import annotations

import functools
import io
import os
import stat
import tarfile
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

TemplateFiles = Mapping[str, memoryview]
"""The content of each file of a template, by its path in the archive."""

_BLOCK_BYTES = 512
_LOCK_FILE = ".terraform.lock.hcl"
_ROOT_FILE_SUFFIXES = (".tf", ".tf.json")
_NEVER_PACKED = (
    "*.tfstate*",
    "terraform.tfvars",
    "terraform.tfvars.json",
    "*.auto.tfvars",
    "*.auto.tfvars.json",
)
_PLANTED = (".terraform", ".terraform.d", ".terraformrc", "*.tfstate", "*.tfstate.*")
"""Names that Terraform would obey without the template saying so: plugins, settings, state."""

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")


class ArchiveError(Exception):
    """The template cannot be packed or unpacked; the message is one sentence for its author."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """How large a template may be."""

    max_upload_bytes: int = 1024 * 1024  #: of the packed archive
    max_entries: int = 10_000  #: files and directories
    max_total_bytes: int = 100 * 1024 * 1024  #: of all files together
    max_file_bytes: int = 20 * 1024 * 1024  #: of one file
    max_depth: int = 16  #: components of a path
    max_path_bytes: int = 255  #: of a path in UTF-8


DEFAULT_LIMITS = ArchiveLimits()


def pack_template(directory: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> bytes:
    """Pack a template folder; the same files always give the same bytes.

    Left out are dot files (but for ``.terraform.lock.hcl``), state files, ``terraform.tfvars``
    and ``*.auto.tfvars``: they belong to whoever works on the template, not to the template.

    Raises:
        ArchiveError: the folder has no Terraform file in its root, holds a link or a special
            file, or is over a limit.
    """
    if not directory.is_dir():
        raise ArchiveError(f"{directory} is not a directory; give the folder of the template")
    files = _files_of(directory)
    if not any("/" not in name and name.endswith(_ROOT_FILE_SUFFIXES) for name in files):
        raise ArchiveError(f"{directory} has no .tf or .tf.json file; give the template's folder")
    # Sizes are summed up first: a forgotten disk image must not be read into memory.
    if sum(found.stat().st_size for found in files.values()) > limits.max_upload_bytes:
        raise _too_big(limits)
    archive = _tar(files)
    check_upload_size(archive, limits=limits)
    _judge(archive, limits)
    return archive


def check_upload_size(archive: bytes, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> None:
    """Refuse an archive above ``limits.max_upload_bytes``.

    Raises:
        ArchiveError: it is too big.
    """
    if len(archive) > limits.max_upload_bytes:
        raise _too_big(limits)


def read_archive(archive: bytes, *, limits: ArchiveLimits = DEFAULT_LIMITS) -> TemplateFiles:
    """Return the content of each file of a template, by its path, without unpacking it.

    Raises:
        ArchiveError: as ``unpack_template`` does.
    """
    return {path: member.data for path, member in _judge(archive, limits).files.items()}


def unpack_template(
    archive: bytes, directory: Path, *, limits: ArchiveLimits = DEFAULT_LIMITS
) -> None:
    """Unpack a template into ``directory``, which is made when it does not exist.

    The whole archive is judged first: when it is refused, nothing has been written. Files get
    mode 0600 (0700 when the archive says executable), directories 0700. Nothing that exists is
    opened or replaced.

    Raises:
        ArchiveError: the archive is not a plain, whole tar of harmless files within the limits.
    """
    content = _judge(archive, limits)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in content.folders:
        _make_folder(path, directory / path)
    for path, member in content.files.items():
        _make_file(path, directory / path, member)


def _too_big(limits: ArchiveLimits) -> ArchiveError:
    return ArchiveError(f"Archive too big. Must be <= {limits.max_upload_bytes} bytes")


def _files_of(directory: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if _is_left_out(entry.name):
            continue
        mode = entry.lstat().st_mode
        if stat.S_ISDIR(mode):
            found |= {f"{entry.name}/{name}": path for name, path in _files_of(entry).items()}
        elif stat.S_ISREG(mode):
            found[entry.name] = entry
        else:
            raise ArchiveError(
                f"{entry} is a link or a special file; a template may hold only files and folders"
            )
    return found


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


@dataclass(frozen=True, kw_only=True)
class _Member:
    name: str
    data: memoryview
    is_directory: bool
    is_executable: bool


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What the archive would make; parents stand before what they hold."""

    folders: dict[str, None] = field(default_factory=dict)  #: used as an ordered set
    files: dict[str, _Member] = field(default_factory=dict)


# The builds of a template version bring the same archive: 0.1 ms less for each but the first.
@functools.lru_cache(maxsize=32)
def _judge(archive: bytes, limits: ArchiveLimits) -> _Content:
    content = _Content()
    listed: set[str] = set()
    spelling: dict[str, str] = {}
    total_bytes = 0
    for member in _members(archive):
        total_bytes += len(member.data)
        _judge_size(member, total_bytes, limits)
        path = _safe_path(member, limits)
        if path in listed:
            raise ArchiveError(f"the template archive holds {path!r} twice")
        listed.add(path)
        _place(path, member, content, spelling)
        if len(content.files) + len(content.folders) > limits.max_entries:
            raise ArchiveError(f"the template archive has more than {limits.max_entries} entries")
    if not content.files:
        raise ArchiveError("the template archive holds no files")
    return content


def _judge_size(member: _Member, total_bytes: int, limits: ArchiveLimits) -> None:
    if len(member.data) > limits.max_file_bytes:
        raise ArchiveError(
            f"{member.name!r} in the template archive is larger than {limits.max_file_bytes} bytes"
        )
    if total_bytes > limits.max_total_bytes:
        raise ArchiveError(
            f"the files of the template archive are larger than {limits.max_total_bytes} bytes"
        )


def _safe_path(member: _Member, limits: ArchiveLimits) -> str:
    """Return the member's path relative to the template's root, ``""`` for the root itself."""
    name = member.name.removesuffix("/") if member.is_directory else member.name
    if name == "." and member.is_directory:
        return ""
    path = name.removeprefix("./")
    parts = path.split("/")
    if not path.isprintable() or "\\" in path:
        raise ArchiveError(f"the template archive has the unusable file name {name!r}")
    if any(part in {"", ".", ".."} for part in parts):
        raise ArchiveError(f"{name!r} in the template archive is not a path inside the template")
    if len(path.encode()) > limits.max_path_bytes or len(parts) > limits.max_depth:
        raise ArchiveError(
            f"the path {name!r} in the template archive is longer than {limits.max_path_bytes} "
            f"bytes or deeper than {limits.max_depth} levels"
        )
    if any(fnmatchcase(_folded(part), planted) for part in parts for planted in _PLANTED):
        raise ArchiveError(
            f"the template archive holds {name!r}, which only Terraform itself may make; remove it"
        )
    return path


def _place(path: str, member: _Member, content: _Content, spelling: dict[str, str]) -> None:
    parts = path.split("/")
    folders = ["/".join(parts[:end]) for end in range(1, len(parts))]
    if member.is_directory and path:
        folders.append(path)
    for folder in folders:
        _judge_spelling(folder, spelling)
        if folder in content.files:
            raise ArchiveError(f"{folder!r} is a file and a folder in the template archive")
        content.folders[folder] = None
    if member.is_directory:
        return
    _judge_spelling(path, spelling)
    if path in content.folders:
        raise ArchiveError(f"{path!r} is a file and a folder in the template archive")
    content.files[path] = member


def _judge_spelling(path: str, spelling: dict[str, str]) -> None:
    known = spelling.setdefault(_folded(path), path)
    if known != path:
        raise ArchiveError(f"{path!r} and {known!r} in the template archive differ only in case")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _members(archive: bytes) -> Iterator[_Member]:
    """Read the tar's headers; every length is checked against the bytes that are there.

    ``TarFile`` is not used: it takes a damaged header for the end of the archive, and hostile
    extension headers have made it loop (CVE-2025-8194) and backtrack (CVE-2024-6232).
    """
    if archive.startswith(_COMPRESSED):
        raise ArchiveError("the template archive is compressed; send a plain tar")
    offset = 0
    override: str | None = None
    while any(block := archive[offset : offset + _BLOCK_BYTES]):
        header = _header(block)
        data = _data(archive, offset + _BLOCK_BYTES, header)
        offset += _BLOCK_BYTES + -(-header.size // _BLOCK_BYTES) * _BLOCK_BYTES
        if header.type in {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME}:
            override = _override(header, bytes(data)) or override
            continue
        yield _member(header, override or _text(header.name), data)
        override = None
    _judge_end(archive, offset, override)


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise ArchiveError("the template archive is damaged or is not a tar") from None


def _data(archive: bytes, start: int, header: tarfile.TarInfo) -> memoryview:
    if not 0 <= header.size <= len(archive) - start:
        raise ArchiveError("the template archive is cut off or damaged")
    return memoryview(archive)[start : start + header.size]


def _member(header: tarfile.TarInfo, name: str, data: memoryview) -> _Member:
    is_directory = header.type == tarfile.DIRTYPE
    if header.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}:
        raise ArchiveError(
            f"{name!r} in the template archive is a link or a special file; "
            "a template may hold only files and folders"
        )
    if is_directory and data:
        raise ArchiveError(f"the folder {name!r} in the template archive has content")
    is_executable = bool(header.mode & stat.S_IXUSR)
    return _Member(name=name, data=data, is_directory=is_directory, is_executable=is_executable)


def _override(header: tarfile.TarInfo, data: bytes) -> str | None:
    """Return the name that an extension header gives to the next member, if it gives one."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return _decoded(data.removesuffix(b"\0"))
    records = dict(_records(data))
    # A sparse file or a size that differs from the header's would be unpacked otherwise than
    # the template's author sees it; a global name would hold for every file.
    forbidden = {"size"} if header.type == tarfile.XHDTYPE else {"size", "path"}
    if any(key in forbidden or key.startswith("GNU.sparse.") for key in records):
        raise ArchiveError("the template archive uses tar extensions that are not allowed")
    return records.get("path")


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    while data:
        length, _, rest = data.partition(b" ")
        size = int(length) - len(length) - 1 if length.isdigit() and len(length) < 8 else 0
        key, equals, value = rest[:size].partition(b"=")
        if not 0 < size <= len(rest) or not equals or not value.endswith(b"\n"):
            raise ArchiveError("the template archive has a damaged extension header")
        yield _decoded(key), _decoded(value[:-1])
        data = rest[size:]


def _decoded(value: bytes) -> str:
    return _text(value.decode("utf-8", "surrogateescape"))


def _text(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ArchiveError(f"the template archive has the name {name!r}, not UTF-8") from None
    return name


def _judge_end(archive: bytes, offset: int, override: str | None) -> None:
    # A tar ends with two empty blocks; anything less may have been cut off in the middle.
    if override is not None or len(archive) < offset + 2 * _BLOCK_BYTES:
        raise ArchiveError("the template archive is cut off")
    if archive[offset:].strip(b"\0"):
        raise ArchiveError("the template archive has other data behind its end")


def _make_file(name: str, path: Path, member: _Member) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o700 if member.is_executable else 0o600)
    except FileExistsError:
        raise ArchiveError(f"{name!r} exists already where the template is unpacked") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(member.data)


def _make_folder(name: str, path: Path) -> None:
    # Made by us or refused: so no folder on the way can be somebody's link.
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise ArchiveError(f"{name!r} exists already where the template is unpacked") from None
