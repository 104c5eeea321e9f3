"""The CLI configuration of every command, which always says where providers come from.

Without a ``provider_installation`` Terraform also takes providers from folders that a template can
write, such as ``terraform.d/plugins`` in its own directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
from pathlib import Path

_SOURCES = re.compile(r"^\s*provider_installation\b", re.MULTILINE)
_MIRRORS = re.compile(r"\b(?:filesystem|network|oci)_mirror\b")
_REGISTRIES = "provider_installation {\n  direct {}\n}\n"
_REGISTRIES_AS_JSON: list[dict[str, object]] = [{"direct": [{}]}]
_KEY = "provider_installation"


def settle_cli_config(given: Path | None, folder: Path) -> Path:
    """Return the file that ``TF_CLI_CONFIG_FILE`` names in every build.

    That is the operator's own, if it says where providers come from. Otherwise it is a copy in
    ``folder`` with one addition: each provider comes from its registry.

    Args:
        given: the operator's configuration, None if there is none.
        folder: is made if it is missing; templates must not be able to write to it.

    Raises:
        OSError: ``given`` cannot be read, or the folder cannot be written.
        ValueError: ``given`` starts like JSON and is not.
    """
    text = given.read_text(errors="surrogateescape") if given else ""
    settled = with_sources(text)
    if given is not None and settled == text:
        return given.absolute()
    # The copy may have credentials in it, and builds of root are users of their own.
    mode = stat.S_IMODE(given.stat().st_mode) if given else 0o644
    return _written(os.fsencode(settled), folder.absolute(), mode)


def with_sources(text: str) -> str:
    """Return a CLI configuration that names its sources of providers.

    Raises:
        ValueError: it starts like JSON and is not.
    """
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        return text if _KEY in document else json.dumps({**document, _KEY: _REGISTRIES_AS_JSON})
    if has_sources(text):
        return text
    return f"{text}\n{_REGISTRIES}" if text else _REGISTRIES


def has_sources(text: str) -> bool:
    """Return whether a CLI configuration says where providers come from."""
    return bool(_SOURCES.search(text)) or f'"{_KEY}"' in text


def has_mirrors(text: str) -> bool:
    """Return whether a CLI configuration names a mirror, whose packages have no signature."""
    return bool(_MIRRORS.search(text))


def _written(data: bytes, folder: Path, mode: int) -> Path:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    # Workers of other settings may share the folder, so the name says what is in it.
    path = folder / f"cli-{hashlib.sha256(data).hexdigest()[:16]}.tfrc"
    descriptor, draft = tempfile.mkstemp(dir=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        os.fchmod(descriptor, mode)
    Path(draft).replace(path)
    return path
