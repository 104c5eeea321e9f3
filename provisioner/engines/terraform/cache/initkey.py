"""What an init depends on: the key under which an initialised directory is kept."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from provisioner.engines.terraform.cache.trees import describe_tree

_FORMAT = "1"  # of what is kept; another one means other keys


def init_key(directory: Path, environment: Mapping[str, str], *, binary: Path, version: str) -> str:
    """Return one word for the unpacked template and all else that an init depends on.

    Raises:
        OSError: a file of the template cannot be read.
    """
    total = hashlib.sha256()
    made_of = (_FORMAT, str(binary), version, sys.platform, platform.machine())
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
