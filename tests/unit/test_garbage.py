"""How often a command of Terraform collects garbage."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from db.schema.enums import TimingStage, Transition
from provisioner.engines.port import BuildContext
from provisioner.engines.terraform.garbage import (
    FEW_COLLECTIONS,
    SMALL_PROVIDERS_BYTES,
    SMALL_STATE_BYTES,
    garbage_variables,
)
from provisioner.host.interrupt import Interrupt


def context(directory: Path, state: bytes = b"") -> BuildContext:
    return BuildContext(
        files={},
        directory=directory,
        transition=Transition.START,
        environment={},
        variables={},
        sensitive=frozenset(),
        log=lambda _level, _text: None,
        interrupt=Interrupt(),
        timeout=timedelta(),
        state=state,
    )


def install(folder: Path, *, size: int) -> None:
    package = folder / "registry.terraform.io/large/cloud/1.0.0/linux_amd64"
    package.mkdir(parents=True)
    with (package / "provider").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def test_small_providers_collect_garbage_less_often(tmp_path: Path) -> None:
    install(tmp_path / ".terraform/providers", size=1_000_000)
    assert garbage_variables(context(tmp_path), TimingStage.PLAN) == FEW_COLLECTIONS


def test_large_providers_collect_garbage_as_usual(tmp_path: Path) -> None:
    install(tmp_path / ".terraform/providers", size=SMALL_PROVIDERS_BYTES + 1)
    assert not garbage_variables(context(tmp_path), TimingStage.PLAN)


def test_a_provider_of_an_unpacked_mirror_counts(tmp_path: Path) -> None:
    install(tmp_path / "mirror", size=SMALL_PROVIDERS_BYTES + 1)
    package = Path("registry.terraform.io/large/cloud/1.0.0/linux_amd64")
    link = tmp_path / ".terraform/providers" / package
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "mirror" / package)
    assert not garbage_variables(context(tmp_path), TimingStage.PLAN)


def test_terraform_with_a_large_state_collects_garbage_as_usual(tmp_path: Path) -> None:
    large = context(tmp_path, state=bytes(SMALL_STATE_BYTES + 1))
    assert not garbage_variables(large, TimingStage.APPLY)


def test_an_init_starts_no_provider_and_collects_garbage_less_often(tmp_path: Path) -> None:
    install(tmp_path / ".terraform/providers", size=SMALL_PROVIDERS_BYTES + 1)
    assert garbage_variables(context(tmp_path), TimingStage.INIT) == FEW_COLLECTIONS
