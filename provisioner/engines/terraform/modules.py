"""The modules that ``init`` installed, as Terraform lists them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from db.jobs.declarations import TemplateModule
from provisioner.engines.terraform.files import DATA_DIR
from provisioner.host.reading import read_file

MANIFEST = Path(DATA_DIR, "modules", "modules.json")
MANIFEST_LIMIT = 4 * 1024 * 1024
"""A longer list of modules is not read."""


def installed_modules(directory: Path) -> Iterator[TemplateModule]:
    """Yield the modules of an initialized directory; none if the list cannot be read."""
    for entry in _entries(directory):
        source = entry.get("Source")
        if isinstance(source, str) and source:  # the root module has none
            yield TemplateModule(
                key=str(entry.get("Key", "")),
                source=source,
                version=str(entry.get("Version") or ""),
            )


def _entries(directory: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(read_file(directory, MANIFEST, limit=MANIFEST_LIMIT))["Modules"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
