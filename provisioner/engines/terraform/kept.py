"""The modules and the completed lock file of an initialized directory, as one archive.

The import of a template version makes it, and every build of the version starts with it, so that
all of them use the same modules, on every host, without downloading any.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from provisioner.engines.port import BuildContext
from provisioner.engines.terraform.files import DATA_DIR, LOCK_FILE
from provisioner.host.members import ArchiveError, Member, read_members

MAX_BYTES = 20 * 1024 * 1024
"""Modules with a larger archive are not kept: builds download them. Source: Coder."""
MAX_FILES = 20_000
MODULES = f"{DATA_DIR}/modules"
_MANIFEST = f"{MODULES}/modules.json"
_ONLY_MANIFEST = {_MANIFEST}
_LEFT_OUT = ".git"


class TooLargeError(Exception):
    """The modules are too large to be kept."""


def pack_kept(directory: Path) -> bytes | None:
    """Return the archive of what ``init`` installed, None if there is nothing to keep.

    The same content always gives the same bytes. Links and special files are left out.

    Raises:
        TooLargeError: there are more than ``MAX_BYTES`` or ``MAX_FILES``.
        OSError: a file cannot be read.
    """
    paths = sorted(_modules(directory))
    if set(paths) <= _ONLY_MANIFEST:  # only modules of the template itself
        paths = []
    if _is_plain(directory / LOCK_FILE):
        paths.append(LOCK_FILE)
    return _tar(directory, paths) if paths else None


def pack_lock_file(directory: Path) -> bytes | None:
    """Return an archive of only the lock file, None if there is none."""
    return _tar(directory, [LOCK_FILE]) if _is_plain(directory / LOCK_FILE) else None


def put_modules(context: BuildContext) -> None:
    """Write the modules of the version into the directory of a build, before its ``init``.

    The kept lock file replaces that of the template, which it completes.

    Raises:
        ArchiveError: the archive is not one of ``pack_kept``.
        OSError: the directory cannot be written.
    """
    directory = context.directory
    if context.module_files is None:
        return
    (directory / LOCK_FILE).unlink(missing_ok=True)
    for member in read_members(context.module_files):
        path = directory / _checked(member)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o700 if member.is_executable else 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(member.data)


def _checked(member: Member) -> str:
    path = PurePosixPath(member.name)
    is_inside = member.name == LOCK_FILE or path.is_relative_to(MODULES)
    if member.is_directory or not is_inside or ".." in path.parts:
        raise ArchiveError(f"the kept modules have the unusable path {member.name!r}")
    return member.name


def _modules(directory: Path) -> Iterator[str]:
    """Yield the plain files below the folder of modules, relative to the directory."""
    count = 0
    for folder, folders, names in os.walk(directory / MODULES):
        folders[:] = [name for name in folders if name != _LEFT_OUT]
        for name in names:
            path = Path(folder, name)
            if name == _LEFT_OUT or not _is_plain(path):
                continue
            count += 1
            if count > MAX_FILES:
                raise TooLargeError(f"the modules have more than {MAX_FILES} files")
            yield path.relative_to(directory).as_posix()


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _tar(directory: Path, paths: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in paths:
            header = tarfile.TarInfo(path)
            # It lies where programs of the template may write: never through a link, never waiting.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(directory / path, flags), "rb") as file:
                content = file.read(MAX_BYTES + 1)
                is_executable = os.fstat(file.fileno()).st_mode & stat.S_IXUSR
            header.size = len(content)
            header.mode = 0o755 if is_executable else 0o644
            tar.addfile(header, io.BytesIO(content))
            if buffer.tell() > MAX_BYTES:
                raise TooLargeError(f"the modules are larger than {MAX_BYTES // 1024**2} MiB")
    return buffer.getvalue()
