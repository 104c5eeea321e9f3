"""The providers of the tests: the ledger cloud, and stand-ins of external ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.ledger.install import LedgerError
from tests.providers.mirror import STAND_INS, install


def install_providers(mirror: Path) -> Path:
    """Install them all; return the Terraform CLI configuration for them.

    The test is skipped where they cannot be installed; in CI it fails.
    """
    try:
        return install(mirror)
    except LedgerError as error:
        names = ", ".join(stand_in.address for stand_in in STAND_INS)
        reason = f"the ledger and the stand-ins of {names} cannot be installed: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
