"""What an operator shows to sandboxes, and what stays hidden inside of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provisioner.host.sandbox.paths import SharedPaths
from provisioner.host.sandbox.port import SandboxMode
from tests.harness.confined import Job


@pytest.fixture
def clouds(host: Path, uid: int) -> Path:
    """A folder that only its user may enter, with the worker's data in it."""
    folder = host / "clouds"
    for path in (folder, folder / "data", folder / "cloud"):
        path.mkdir(mode=0o700)
        os.chown(path, uid, uid)
    (folder / "data" / "lease").write_text("s3cret")
    os.chown(folder / "data" / "lease", uid, uid)
    return folder


@pytest.fixture
def sharing(host: Path, mode: SandboxMode, uid: int, clouds: Path) -> Job:
    """A job below the hidden folder, as with a work directory in the data directory."""
    shared = SharedPaths(writable=(clouds,), hidden=(clouds / "data",), keeps_user=True)
    return Job(folder=clouds / "data" / "job", mode=mode, uid=uid, shared=shared)


def test_a_shared_folder_of_the_workers_user_can_be_written(sharing: Job, clouds: Path) -> None:
    ended = sharing.shell(f"echo made > {clouds}/cloud/machine")

    assert (ended.status, (clouds / "cloud" / "machine").read_text()) == (0, "made\n"), ended


def test_what_is_hidden_in_a_shared_folder_cannot_be_read(sharing: Job, clouds: Path) -> None:
    assert "s3cret" not in sharing.shell(f"cat {clouds}/data/lease").output


def test_the_job_keeps_its_own_folders_inside_of_a_hidden_one(sharing: Job) -> None:
    assert sharing.shell("echo made > mine && cat mine").output == "made\n"


def test_a_command_that_keeps_its_user_has_no_capability(sharing: Job) -> None:
    assert "CapEff:\t0000000000000000" in sharing.shell("cat /proc/self/status").output
