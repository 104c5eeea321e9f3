"""The providers of the tests: the ledger cloud and the stand-in of ``coder/coder``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.ledger.install import LedgerError
from tests.providers.mirror import install


def install_providers(mirror: Path) -> Path:
    """Install the ledger and ``coder/coder``; return the Terraform CLI configuration for them.

    The test is skipped where they cannot be installed; in CI it fails.
    """
    try:
        return install(mirror)
    except LedgerError as error:
        reason = f"no providers ledger and coder/coder: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
