"""What is read from a dependency lock file, and the hash of a package."""

from __future__ import annotations

from pathlib import Path

from provisioner.engines.terraform.cache.lockfile import (
    LockedProvider,
    package_hash,
    read_lock_file,
)

LOCK = """\
# This file is maintained automatically by "terraform init".

provider "example.com/demo/cloud" {
  version     = "5.1.0"
  constraints = "~> 5.0"
  hashes = [
    "h1:one=",
    "zh:two",
  ]
}

provider "example.com/demo/fake" {
  version = "1.0.0"
}
"""


def test_the_providers_of_a_lock_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(LOCK)
    assert read_lock_file(tmp_path / "lock") == {
        "example.com/demo/cloud": LockedProvider(
            version="5.1.0", hashes=frozenset({"h1:one=", "zh:two"})
        ),
        "example.com/demo/fake": LockedProvider(version="1.0.0", hashes=frozenset()),
    }


def test_no_lock_file_locks_nothing(tmp_path: Path) -> None:
    assert read_lock_file(tmp_path / "lock") == {}


def test_what_is_no_lock_file_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"\xff provider {")
    assert read_lock_file(tmp_path / "lock") == {}


def test_a_package_has_the_hash_that_terraform_gives_it(tmp_path: Path) -> None:
    """The figure is from a lock file that Terraform 1.11.4 wrote for such a package."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README").write_text("read\n")
    (tmp_path / "terraform-provider-fake_v1.0.0").write_text("#!/bin/sh\n")
    assert package_hash(tmp_path) == "h1:o0eDr/hFf5D6nHb5spzBXkM+tOQjNaffGm+jWyLigkU="
