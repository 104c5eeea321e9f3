"""The modules that ``init`` installed, as Terraform lists them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from db.jobs.declarations import TemplateModule
from provisioner.engines.terraform.files import DATA_DIR

MANIFEST = Path(DATA_DIR, "modules", "modules.json")
MANIFEST_LIMIT = 4 * 1024 * 1024
"""A longer list of modules is not read."""


def installed_modules(directory: Path) -> Iterator[TemplateModule]:
    """Yield the modules of an initialized directory; none if the list cannot be read."""
    for entry in _entries(directory / MANIFEST):
        source = entry.get("Source")
        if isinstance(source, str) and source:  # the root module has none
            yield TemplateModule(
                key=str(entry.get("Key", "")),
                source=source,
                version=str(entry.get("Version") or ""),
            )


def _entries(manifest: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(_read_bounded(manifest))["Modules"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _read_bounded(path: Path) -> bytes:
    """Return the content of a plain file. It lies where programs of the template may write."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MANIFEST_LIMIT + 1)
    if len(data) > MANIFEST_LIMIT:
        raise ValueError(f"{path.name} is longer than {MANIFEST_LIMIT} bytes")
    return data
