"""The scripts that start agents: our own, or those in a folder of the operator's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from provisioner.platform.scripttexts import DARWIN, LINUX, WINDOWS

SYSTEMS: Mapping[str, tuple[str, ...]] = {
    "linux": ("amd64", "arm64", "armv7"),
    "darwin": ("amd64", "arm64"),
    "windows": ("amd64", "arm64"),
}
"""The architectures of each operating system that an agent runs on."""

MAX_SCRIPT_BYTES = 64 * 1024
"""Maximum size of a script. Linux stores at most 128 KiB in an environment variable."""

_OWN = {"linux": LINUX, "darwin": DARWIN, "windows": WINDOWS}


class AgentScriptsError(Exception):
    """The operator's folder of scripts cannot be used; the message names the file."""


def own_scripts() -> dict[str, str]:
    """Return our own scripts, by ``<os>_<arch>``."""
    return {
        f"{system}_{arch}": text.replace("${ARCH}", arch)
        for system, text in _OWN.items()
        for arch in SYSTEMS[system]
    }


def read_scripts(folder: Path) -> dict[str, str]:
    """Return the scripts in a folder, by ``<os>_<arch>``; our own for those that are missing.

    The file ``linux_arm64``, with any ending, is for that machine. The file ``linux`` is for all
    Linux machines; ``${ARCH}`` in it is replaced by the architecture.

    Raises:
        AgentScriptsError: the folder or a file in it cannot be read, or is of no such name.
    """
    found = _files(folder)
    known = {f"{system}_{arch}": (system, arch) for system in SYSTEMS for arch in SYSTEMS[system]}
    if unknown := sorted(found.keys() - known.keys() - SYSTEMS.keys()):
        raise AgentScriptsError(
            f"{folder}: {unknown[0]} is not an operating system with an architecture;"
            f" name a file {', '.join(known)}, or {', '.join(SYSTEMS)}"
        )
    scripts = own_scripts()
    for name, (system, arch) in known.items():
        if text := found.get(name) or found.get(system):
            scripts[name] = text.replace("${ARCH}", arch)
    return scripts


def _files(folder: Path) -> dict[str, str]:
    """Return the text of each file, by its name without an ending."""
    try:
        return dict(_read(path) for path in _visible(folder))
    except OSError as error:
        raise AgentScriptsError(f"{error.filename}: {error.strerror}") from error


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))


def _read(path: Path) -> tuple[str, str]:
    data = path.read_bytes()
    if len(data) > MAX_SCRIPT_BYTES:
        raise AgentScriptsError(f"{path} has more than {MAX_SCRIPT_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise AgentScriptsError(f"{path} is not UTF-8") from None
    if not text or "\0" in text:
        raise AgentScriptsError(f"{path} is empty or contains a NUL character")
    return path.stem, text
