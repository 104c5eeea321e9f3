"""The key of an initialized directory, made from everything that an init depends on."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from provisioner.engines.terraform.cache.trees import describe_tree

_FORMAT = "1"  # of the stored trees; a new format needs new keys


def init_key(
    directory: Path,
    environment: Mapping[str, str],
    *,
    binary: Path,
    version: str,
    module_files: bytes | None = None,
) -> str:
    """Return a key for the unpacked template and everything else that an init depends on.

    Args:
        module_files: the modules that the template version was imported with.

    Raises:
        OSError: a file of the template cannot be read.
    """
    total = hashlib.sha256()
    modules = hashlib.sha256(module_files or b"").hexdigest()
    made_of = (_FORMAT, str(binary), version, sys.platform, platform.machine(), modules)
    files = describe_tree(directory, is_whole=True)
    for text in (
        *made_of,
        cli_config(environment),
        *(part for item in files.items() for part in item),
    ):
        data = os.fsencode(text)
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:40]


def cli_config(environment: Mapping[str, str]) -> str:
    """Return the text of the operator's CLI configuration, ``""`` if there is none."""
    with suppress(OSError):
        name = environment.get("TF_CLI_CONFIG_FILE", os.devnull)
        return Path(name).read_text(errors="surrogateescape")
    return ""
