"""The ledger cloud: its provider for Terraform, and the machines that a state knows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deploy.ledger.install import install

WITHOUT_PROVIDER = ("first", "last")
"""The machines of the template ``gated``, which makes them by commands, not by the provider."""


def install_ledger(mirror: Path) -> Path:
    """Install the ledger provider for this interpreter; return the CLI configuration for it."""
    return install(mirror, Path(sys.executable))


def machines_of(state: bytes | None) -> set[str]:
    """Return the ids of the machines in a stored state."""
    if not state:
        return set()
    return {
        instance["attributes"]["id"]
        for resource in json.loads(state)["resources"]
        if resource["type"] == "ledger_machine" or resource["name"] in WITHOUT_PROVIDER
        for instance in resource["instances"]
    }
