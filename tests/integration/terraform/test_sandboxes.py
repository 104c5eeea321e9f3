"""Real Terraform in each sandbox, with providers and the cache of initialized directories."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from provisioner.engines.port import EngineError, EngineInterruptedError
from provisioner.engines.terraform.cache.treestore import TreeKind, TreeStore
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.engines.terraform.initcache import InitCache
from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.paths import SharedPaths
from provisioner.host.sandbox.port import SandboxError, SandboxMode
from provisioner.host.sandboxes import choose_sandbox
from tests.integration.terraform.builds import Build, MakeBuild, Template
from tests.integration.terraform.mirror import Mirror, make_mirror

MEGABYTE = 1024**2
LIMITS = Limits(
    memory_bytes=1024 * MEGABYTE, disk_bytes=500 * MEGABYTE, processes=1000, open_files=1000
)
WRITES = """
resource "terraform_data" "file" {
  provisioner "local-exec" {
    command = "echo 1 >file && echo 2 >~/file && echo $((1 + 2))"
  }
}
"""
TWO = """
resource "terraform_data" "first" {}
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "COMMAND"
  }
}
"""
HANGS = TWO.replace("COMMAND", "sleep 600")
FULL = TWO.replace("COMMAND", "for n in 1 2 3; do head -c 20000000 /dev/zero >f$n; done; sleep 20")

MakeConfined = Callable[..., Build]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    root = tmp_path_factory.mktemp("mirror")
    root.chmod(0o755)  # builds of a worker that root runs have users of their own
    return make_mirror(root, provider_bytes=3 * MEGABYTE)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def make_confined(
    make_build: MakeBuild, terraform: Path, tmp_path: Path, mirror: Mirror, ledger: Path
) -> MakeConfined:
    """Return a maker of builds in a sandbox, which share a cache and the mirror's providers."""

    def make(template: Template, mode: SandboxMode, limits: Limits = LIMITS) -> Build:
        build = make_build(template)
        work = build.context.directory
        home, tmp = (work.with_name(f"{work.name}-{name}") for name in ("home", "tmp"))
        for folder in (home, tmp):
            folder.mkdir()
        build.engine = TerraformEngine(
            terraform,
            grace=timedelta(seconds=20),
            cache=InitCache(TreeStore(tmp_path / "cache", max_bytes=10**9)),
            sandbox=_sandbox(
                mode,
                limits,
                SharedPaths(
                    readable=(mirror.config.parent, Path(sys.prefix), Path(sys.base_prefix)),
                    writable=(ledger,),
                ),
            ),
        )
        environment = {
            **build.context.environment,
            "HOME": str(home),
            "TF_CLI_CONFIG_FILE": str(mirror.config),
        }
        build.context = dataclasses.replace(
            build.context, environment=environment, home=home, tmp=tmp
        )
        return build

    return make


def _sandbox(mode: SandboxMode, limits: Limits, shared: SharedPaths) -> Any:
    try:
        return choose_sandbox(mode, shared=shared, limits=limits).sandbox
    except SandboxError as error:
        pytest.skip(str(error))


def open_folders_above(path: Path) -> None:
    """Let every user enter the folders of pytest: Landlock cannot show a path that is closed."""
    for folder in path.parents:
        if folder.stat().st_uid == os.getuid() and "pytest" in str(folder):
            folder.chmod(0o711)


@pytest.fixture(params=[SandboxMode.BWRAP, SandboxMode.LANDLOCK])
def mode(request: pytest.FixtureRequest, tmp_path: Path) -> SandboxMode:
    open_folders_above(tmp_path / "x")
    return SandboxMode(request.param)


def test_a_template_is_built(make_confined: MakeConfined, mode: SandboxMode) -> None:
    build = make_confined(WRITES, mode)
    build.apply()
    assert "3" in build.text
    assert (build.context.directory / "file").read_text() == "1\n"


def test_the_next_build_has_another_user_and_may_use_what_the_first_one_fetched(
    make_confined: MakeConfined, mirror: Mirror, ledger: Path, tmp_path: Path
) -> None:
    template = mirror.template(ledger)
    builds = [make_confined(template, SandboxMode.BWRAP) for _ in range(2)]
    for build in builds:
        build.apply()
    assert "Initialized from cache" in builds[1].text
    (package,) = (tmp_path / "cache" / TreeKind.PACKAGES).iterdir()
    kept = [package, *package.rglob("*")]
    assert {path.lstat().st_uid for path in kept} == {os.getuid()}
    shared = package / "tree" / mirror.binary
    assert shared.stat().st_nlink > 1
    assert mirror.package_in(builds[1].context.directory / ".terraform").samefile(shared)


def test_another_template_may_use_a_package_of_the_store(
    make_confined: MakeConfined, mirror: Mirror, ledger: Path
) -> None:
    make_confined(mirror.template(ledger), SandboxMode.BWRAP).apply()
    second = make_confined(mirror.template(ledger) + "# another\n", SandboxMode.BWRAP)
    second.apply()
    assert "Initialized from cache" not in second.text


def test_declarations_are_read_in_the_sandbox(make_confined: MakeConfined) -> None:
    build = make_confined('variable "size" {\n  type = number\n}\n', SandboxMode.BWRAP)
    template = build.engine.parse(build.context.files)
    assert [variable.name for variable in template.variables] == ["size"]


def test_an_apply_that_is_interrupted_ends_cleanly(
    make_confined: MakeConfined, mode: SandboxMode
) -> None:
    build = make_confined(HANGS, mode)
    build.interrupt_on("Executing:")
    with pytest.raises(EngineInterruptedError) as interrupted:
        build.plan_and_apply()
    assert interrupted.value.clean
    assert interrupted.value.state is not None
    assert b'"first"' in interrupted.value.state


def test_a_build_at_a_limit_says_so_and_keeps_its_state(
    make_confined: MakeConfined, mode: SandboxMode
) -> None:
    limits = Limits(
        memory_bytes=1024 * MEGABYTE, disk_bytes=30 * MEGABYTE, processes=1000, open_files=1000
    )
    build = make_confined(FULL, mode, limits)
    with pytest.raises(EngineError, match="PROVISIONERD_JOB_DISK_MEGABYTES") as failed:
        build.plan_and_apply()
    assert failed.value.state is not None
    assert b'"first"' in failed.value.state
