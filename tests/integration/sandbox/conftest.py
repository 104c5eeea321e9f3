"""Jobs in each sandbox, of root and of an ordinary user."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from provisioner.host.sandbox.port import SandboxMode
from tests.harness.confined import ORDINARY_USER, Job, has_landlock

USERS = {"root": 0, "ordinary": ORDINARY_USER} if os.getuid() == 0 else {"ordinary": os.getuid()}


@pytest.fixture(params=USERS)
def uid(request: pytest.FixtureRequest) -> int:
    return USERS[request.param]


@pytest.fixture(params=[SandboxMode.BWRAP, SandboxMode.LANDLOCK])
def mode(request: pytest.FixtureRequest) -> SandboxMode:
    if request.param is SandboxMode.BWRAP and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if request.param is SandboxMode.LANDLOCK and not has_landlock():
        pytest.skip("the kernel has no Landlock")
    return SandboxMode(request.param)


@pytest.fixture
def host(open_folder: Path) -> Path:
    return open_folder


@pytest.fixture
def job(host: Path, mode: SandboxMode, uid: int) -> Job:
    return Job(folder=host / "job", mode=mode, uid=uid)


@pytest.fixture
def free(host: Path, uid: int) -> Job:
    """A job without a sandbox."""
    return Job(folder=host / "free", mode=SandboxMode.OFF, uid=uid)
