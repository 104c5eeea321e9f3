"""Read the dependency lock file, and compute the hash that it uses for a provider package."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.host.reading import read_file

SIGNED = "zh:"
"""How hashes of packed packages begin. Terraform adds those of a registry if it signed them."""

LOCK_FILE_LIMIT = 1024 * 1024
"""A lock file with more bytes is not read."""

# Terraform writes and formats this file. A provider in another format is not found, and is then
# treated like one that is not locked.
_PROVIDER = re.compile(r'^\s*provider\s+"([^"\n]+)"\s*\{(.*?)^\s*\}', re.DOTALL | re.MULTILINE)
_VERSION = re.compile(r'^\s*version\s*=\s*"([^"\n]+)"', re.MULTILINE)
_HASH = re.compile(r'"((?:h1|zh):[^"\n]+)"')


@dataclass(frozen=True, kw_only=True)
class LockedProvider:
    """An entry of the lock file."""

    version: str
    hashes: frozenset[str]


def read_lock_file(path: Path) -> Mapping[str, LockedProvider]:
    """Return the locked providers by source address; none if there is no lock file.

    Raises:
        OSError: the file exists but cannot be read.
    """
    try:
        text = read_file(path.parent, path.name, limit=LOCK_FILE_LIMIT).decode(errors="replace")
    except FileNotFoundError:
        return {}
    locked = {}
    for source, body in _PROVIDER.findall(text):
        version = _VERSION.search(body)
        if version is not None:
            hashes = frozenset(_HASH.findall(body))
            locked[source] = LockedProvider(version=version[1], hashes=hashes)
    return locked


def package_hash(package: Path) -> str:
    """Return Terraform's ``h1`` hash of an unpacked provider package.

    Raises:
        OSError: the package cannot be read.
    """
    files = sorted(path.relative_to(package).as_posix() for path in _files(package))
    total = hashlib.sha256()
    for name in files:
        with (package / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{digest}  {name}\n".encode())
    return "h1:" + base64.b64encode(total.digest()).decode()


def _files(package: Path) -> list[Path]:
    return [path for path in package.rglob("*") if path.is_file()]
