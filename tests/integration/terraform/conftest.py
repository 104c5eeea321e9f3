"""Builds with the real Terraform, with templates that need nothing but its built-in provider."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from db.schema.enums import Transition
from provisioner.engines.port import BuildContext
from provisioner.engines.terraform.declarations import read_template
from provisioner.host.interrupt import Interrupt
from tests.harness.chaos.disks import mounted_disk
from tests.harness.providers import install_providers
from tests.harness.terraform import bare_environment
from tests.integration.terraform.builds import Build, MakeBuild, MakeFake, Template
from tests.integration.terraform.directory import Directory


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a file system of its own."""
    disk = mounted_disk(tmp_path / "disk", "24m")
    if disk is None:
        pytest.skip("a file system cannot be mounted here")
    yield disk.folder
    disk.close()


@pytest.fixture
def make_build(terraform: Path, tmp_path: Path) -> MakeBuild:
    """Return a maker of builds from a template's main.tf or files, and facts of the context."""
    home = tmp_path / "home"
    home.mkdir()
    standard = BuildContext(
        files={},
        directory=tmp_path,
        transition=Transition.START,
        environment={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        },
        variables={},
        sensitive=frozenset(),
        log=lambda _level, _text: None,
        interrupt=Interrupt(),
        timeout=timedelta(seconds=60),
    )

    def make(template: Template, binary: Path = terraform, **facts: Any) -> Build:
        files = {"main.tf": template} if isinstance(template, str) else template
        directory = facts.pop("directory", tmp_path / f"build{len(list(tmp_path.iterdir()))}")
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        content = {name: memoryview(text.encode()) for name, text in files.items()}
        if facts.get("variables"):  # what declares them is read once, as by an import
            facts.setdefault("template", read_template(content))
        context = dataclasses.replace(standard, files=content, interrupt=Interrupt(), **facts)
        return Build(binary, directory, context)

    return make


@pytest.fixture(scope="session")
def cli_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CLI configuration that finds the providers of these tests."""
    return install_providers(tmp_path_factory.mktemp("mirror"))


@pytest.fixture
def empty_directory(terraform: Path, cli_config: Path, tmp_path: Path) -> Directory:
    return Directory(
        path=tmp_path,
        terraform=terraform,
        environment=bare_environment(cli_config, tmp_path),
    )


@pytest.fixture
def make_fake(tmp_path: Path) -> MakeFake:
    """Return a maker of a Terraform that does for ``apply`` (and ``init``) what a script says."""

    def make(*, apply: str = "exit 0", init: str = "exit 0", version: str = "1.11.4") -> Path:
        path = tmp_path / "fake-terraform"
        path.write_text(
            "#!/bin/sh\n"
            'case "$1" in\n'
            f'version) echo \'{{"terraform_version": "{version}"}}\';;\n'
            f"init) {init};;\n"
            "plan) exit 0;;\n"
            "show) echo '{\"planned_values\": {}}';;\n"
            f"apply) {apply};;\n"
            "esac\n"
        )
        path.chmod(0o700)
        return path

    return make
