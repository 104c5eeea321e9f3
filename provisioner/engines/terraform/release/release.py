"""One release of Terraform on this host, verified from its signature down to its binary.

    FOLDER/terraform         the binary
           archive.zip       from which it was unpacked
           SHA256SUMS        the sums of the release's archives
           SHA256SUMS.sig    their signature by HashiCorp
           lock              held by a process that changes the folder

All of it is kept, so that the binary can be verified again without the network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from provisioner.engines.port import TERRAFORM_VERSION
from provisioner.engines.terraform.release.download import Progress, chunks, download, fetch_small
from provisioner.engines.terraform.release.errors import ReleaseError
from provisioner.engines.terraform.release.signature import (
    HASHICORP,
    SignatureError,
    check_signature,
)

BINARY, ARCHIVE, SUMS, SIGNATURE = "terraform", "archive.zip", "SHA256SUMS", "SHA256SUMS.sig"

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_BUILT_IN = {
    f"terraform_{TERRAFORM_VERSION}_{name}.zip": digest
    for name, digest in {
        "darwin_amd64": "a56d5002b9f7647291faccc3dd1a70350e60fb61e4c45037629508b8fdc2575b",
        "darwin_arm64": "867e0808fa971217043e25b7a792b10720c79b1546f8a68479b74f138be73e18",
        "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
        "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
    }.items()
}


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a release is verified with; by default what HashiCorp has published."""

    key: bytes = field(default_factory=HASHICORP.read_bytes)  #: that has signed the sums
    sums: Mapping[str, str] = field(default_factory=_BUILT_IN.copy)
    """SHA-256 sums in hex by the names of archives, in addition to those that are signed."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """One archive of the release server, and where it is kept."""

    url: str  #: of the version's folder
    version: str
    sha256: str | None  #: pinned by the operator, in addition to the other sums
    folder: Path
    progress: Progress | None
    trust: Trust

    @property
    def binary(self) -> Path:
        """The path of the binary."""
        return self.folder / BINARY

    @property
    def archive_name(self) -> str:
        """The name of the archive for this platform."""
        machine = platform.machine().lower()
        system, architecture = platform.system().lower(), _ARCHITECTURES.get(machine, machine)
        return f"terraform_{self.version}_{system}_{architecture}.zip"

    def install(self) -> None:
        """Make sure that the folder has the verified binary; fetch what is missing or wrong.

        Workers that start at the same time fetch it once.

        Raises:
            ReleaseError: it cannot be fetched, or is not what was signed.
            OSError: the network or the disk failed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with _lock(self.folder):
            if not self.is_verified():
                self._fetch()

    def is_verified(self) -> bool:
        """Return whether the binary is the one in a signed archive."""
        try:
            self._check_sums(self.folder, _sum_of(self.folder / ARCHIVE))
            with _binary_in(self.folder / ARCHIVE) as source:
                return os.access(self.binary, os.X_OK) and _sum(source) == _sum_of(self.binary)
        except (ReleaseError, OSError):
            return False

    def _fetch(self) -> None:
        # In the same folder, so that a rename is atomic: no worker can run half a binary.
        with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
            draft = Path(temporary)
            prefix = f"{self.url}/terraform_{self.version}_"
            for name in (SUMS, SIGNATURE):
                (draft / name).write_bytes(fetch_small(f"{prefix}{name}"))
            digest = download(f"{self.url}/{self.archive_name}", draft / ARCHIVE, self.progress)
            self._check_sums(draft, digest)
            with _binary_in(draft / ARCHIVE) as source:
                _write_executable(source, draft / BINARY)
            for name in (SUMS, SIGNATURE, ARCHIVE, BINARY):
                (draft / name).replace(self.folder / name)

    def _check_sums(self, folder: Path, digest: str) -> None:
        sums = (folder / SUMS).read_bytes()
        try:
            check_signature(sums, (folder / SIGNATURE).read_bytes(), self.trust.key)
        except SignatureError as error:
            raise ReleaseError(f"the list of its sums cannot be trusted: {error}") from error
        for expected, origin in (
            (_listed(sums, self.archive_name), "published"),
            (self.trust.sums.get(self.archive_name), "built-in"),
            (self.sha256, "pinned"),
        ):
            if expected is not None and digest != expected.lower():
                raise ReleaseError(f"its SHA-256 sum is {digest}, the {origin} one is {expected}")


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _listed(sums: bytes, name: str) -> str:
    for line in sums.decode("utf-8", "replace").splitlines():
        match line.split():
            case [digest, listed] if listed.removeprefix("*") == name:
                return digest
    raise ReleaseError(f"the release has no sum for {name}")


def _sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sum(source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks(source, "its binary"):
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _binary_in(archive: Path) -> Iterator[IO[bytes]]:
    try:
        with zipfile.ZipFile(archive) as content, content.open(BINARY) as source:
            yield source
    except (zipfile.BadZipFile, KeyError) as error:
        raise ReleaseError("it is not a zip archive with terraform in it") from error


def _write_executable(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        file.writelines(chunks(source, "its binary"))
        file.flush()
        os.fsync(file.fileno())
    target.chmod(0o755)
