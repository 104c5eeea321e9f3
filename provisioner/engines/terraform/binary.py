"""Find the Terraform binary: by the setting, on the PATH, or on the release server."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Protocol

from provisioner.engines.port import TERRAFORM_VERSION

RELEASE_URL = "https://releases.hashicorp.com/terraform"

Progress = Callable[[int, int | None], None]
"""Takes the bytes downloaded so far and the size in bytes (None if the server does not say)."""

_NAMES = ("terraform", "tofu")
_TIMEOUT_S = 30.0  # of each single network operation
_CHUNK_BYTES = 256 * 1024
_MAX_SUMS_BYTES = 1024 * 1024
_MAX_BINARY_BYTES = 1024 * 1024 * 1024
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class TerraformNotFoundError(Exception):
    """There is no Terraform binary; the message says where it was searched and what to do."""


class _FetchError(Exception):
    """A download failed; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class _Release:
    """One archive of the release server, and where its binary is kept."""

    url: str  #: of the version's folder
    version: str
    sha256: str | None  #: pinned by the operator, in addition to the published sum
    folder: Path
    progress: Progress | None

    @property
    def binary(self) -> Path:
        return self.folder / "terraform"

    @property
    def archive_name(self) -> str:
        machine = platform.machine().lower()
        system, architecture = platform.system().lower(), _ARCHITECTURES.get(machine, machine)
        return f"terraform_{self.version}_{system}_{architecture}.zip"


def find_terraform(
    *,
    setting: str | None,
    path: str,
    data_dir: Path,
    release_url: str = RELEASE_URL,
    pinned_version: str = TERRAFORM_VERSION,
    pinned_sha256: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return a Terraform (or OpenTofu) binary; download Terraform if there is none.

    The search order is: ``setting`` (a file, or a name on the PATH), ``terraform`` and ``tofu`` on
    the PATH, the copy of an earlier download, the release server or a mirror of it. A download is
    used only if it has the published SHA-256 sum of the release, and the pinned one if that is
    set. Workers that start at the same time download it once. The binary is not run here.

    Args:
        setting: the operator's choice; if it is set, nothing else is tried.
        path: the PATH to search.
        data_dir: the copy is kept in ``terraform/<version>/`` below it.
        release_url: the folder of the server that has a folder for each version.
        pinned_version: the version to download.
        pinned_sha256: the sum, in hex, that the archive must have for this platform.
        progress: called while the download runs.

    Raises:
        TerraformNotFoundError: there is no binary, and none can be downloaded.
    """
    if setting is not None:
        return _chosen(setting, path)
    if installed := _installed(path):
        return installed
    release = _Release(
        url=f"{release_url.rstrip('/')}/{pinned_version}",
        version=pinned_version,
        sha256=pinned_sha256,
        folder=data_dir.absolute() / "terraform" / pinned_version,
        progress=progress,
    )
    if not _is_kept(release):
        _fetch(release)
    return release.binary


def _installed(path: str) -> Path | None:
    for name in _NAMES:
        if found := shutil.which(name, path=path):
            # Terraform is started in other folders, where a relative path would be wrong.
            return Path(found).absolute()
    return None


def _chosen(setting: str, path: str) -> Path:
    found = shutil.which(setting, path=path)
    if found is None:
        raise TerraformNotFoundError(
            f"the Terraform binary {setting!r} of the setting PROVISIONERD_TERRAFORM_BINARY is "
            "not an executable file; correct the setting, or unset it to search the PATH"
        )
    return Path(found).absolute()


def _is_kept(release: _Release) -> bool:
    return os.access(release.binary, os.X_OK)


def _fetch(release: _Release) -> None:
    try:
        release.folder.mkdir(parents=True, exist_ok=True)
        with _lock(release.folder):
            # Another worker may have downloaded it while this one waited.
            if not _is_kept(release):
                _install(release)
    except (_FetchError, OSError, HTTPException, ValueError) as error:
        raise TerraformNotFoundError(
            f"no Terraform: neither {' nor '.join(_NAMES)} is on the PATH, there is no copy in "
            f"{release.folder}, and fetching {release.url}/{release.archive_name} failed "
            f"({error}); install Terraform or set PROVISIONERD_TERRAFORM_BINARY to its file"
        ) from error


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(release: _Release) -> None:
    published = _published_sha256(release)
    # In the same folder, so that the rename is atomic: no worker can run half a binary.
    with tempfile.TemporaryDirectory(dir=release.folder) as temporary:
        archive = Path(temporary, "archive.zip")
        found = _download(release, archive)
        for expected, origin in ((published, "published"), (release.sha256, "pinned")):
            if expected is not None and found != expected.lower():
                raise _FetchError(f"its SHA-256 sum is {found}, the {origin} one is {expected}")
        binary = Path(temporary, "terraform")
        _unzip(archive, binary)
        binary.replace(release.binary)


def _published_sha256(release: _Release) -> str:
    with _open(f"{release.url}/terraform_{release.version}_SHA256SUMS") as response:
        listing = response.read(_MAX_SUMS_BYTES).decode("utf-8", "replace")
    for line in listing.splitlines():
        match line.split():
            case [digest, name] if name.removeprefix("*") == release.archive_name:
                return digest
    raise _FetchError(f"the release has no sum for {release.archive_name}")


def _download(release: _Release, target: Path) -> str:
    """Write the archive to ``target`` and return its SHA-256 sum in hex."""
    digest, fetched_bytes = hashlib.sha256(), 0
    progress = release.progress or _no_progress
    with _open(f"{release.url}/{release.archive_name}") as response, target.open("wb") as file:
        length = response.headers.get("Content-Length", "")
        total_bytes = int(length) if length.isdigit() else None
        for chunk in _chunks(response, "it"):
            digest.update(chunk)
            file.write(chunk)
            fetched_bytes += len(chunk)
            progress(fetched_bytes, total_bytes)
    if total_bytes not in {None, fetched_bytes}:
        raise _FetchError(f"it was cut off after {fetched_bytes} of {total_bytes} bytes")
    return digest.hexdigest()


def _no_progress(_fetched_bytes: int, _total_bytes: int | None) -> None:
    """Do nothing."""


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _chunks(source: _Source, what: str) -> Iterator[bytes]:
    """Yield the content of ``source``, up to the largest size of a binary."""
    read_bytes = 0
    while chunk := source.read(_CHUNK_BYTES):
        read_bytes += len(chunk)
        if read_bytes > _MAX_BINARY_BYTES:
            raise _FetchError(f"{what} is larger than {_MAX_BINARY_BYTES} bytes")
        yield chunk


def _open(url: str) -> HTTPResponse:
    # urllib would also open file: and ftp: URLs.
    if not url.startswith(("https://", "http://")):
        raise _FetchError("the release URL is neither https nor http")
    response: HTTPResponse = urllib.request.urlopen(url, timeout=_TIMEOUT_S)  # noqa: S310 - checked above
    return response


def _unzip(archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as content, content.open("terraform") as source:
            _write_executable(source, target)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _FetchError("it is not a zip archive with terraform in it") from error


def _write_executable(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        file.writelines(_chunks(source, "its binary"))
        file.flush()
        os.fsync(file.fileno())
    target.chmod(0o755)
