"""Builds take the modules that the import of their version installed."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from db.schema.enums import LogLevel
from provisioner.engines.terraform import kept
from provisioner.engines.terraform.cache.treestore import TreeStore
from provisioner.engines.terraform.initcache import InitCache
from tests.integration.terraform.builds import Build, MakeBuild

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="this machine lacks git")


@dataclasses.dataclass(frozen=True)
class Repository:
    """A git repository with one module, which Terraform downloads."""

    path: Path

    def commit(self, version: str) -> None:
        self.path.mkdir(exist_ok=True)
        (self.path / "main.tf").write_text(f'output "version" {{\n  value = "{version}"\n}}\n')
        for command in (
            ("init", "-q", "-b", "main"),
            ("add", "."),
            ("-c", "user.name=x", "-c", "user.email=x@example.invalid", "commit", "-qm", version),
        ):
            subprocess.run(("git", "-C", str(self.path), *command), check=True)

    @property
    def template(self) -> str:
        return f"""
module "net" {{
  source = "git::file://{self.path}?ref=main"
}}
output "version" {{
  value = module.net.version
}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.commit("one")
    return made


@pytest.fixture
def cache(tmp_path: Path) -> InitCache:
    return InitCache(TreeStore(tmp_path / "cache", max_bytes=1024**3))


def imported(build: Build) -> bytes:
    """Initialize as an import does, and return what builds get."""
    build.context = dataclasses.replace(build.context, fetches_modules=True)
    build.engine.init(build.context)
    files = build.engine.installed(build.context).files
    assert files is not None
    return files


def version_of(build: Build) -> str:
    version: str = json.loads(build.apply())["outputs"]["version"]["value"]
    return version


def test_the_modules_of_an_import_are_listed(make_build: MakeBuild, repository: Repository) -> None:
    build = make_build(repository.template)
    build.engine.init(build.context)
    (module,) = build.engine.installed(build.context).modules
    assert (module.key, module.source) == ("net", f"git::file://{repository.path}?ref=main")


def test_a_build_downloads_no_module_of_its_version(
    make_build: MakeBuild, repository: Repository
) -> None:
    files = imported(make_build(repository.template))
    shutil.rmtree(repository.path)
    assert version_of(make_build(repository.template, module_files=files)) == "one"


def test_a_version_goes_on_with_the_modules_of_its_import(
    make_build: MakeBuild, repository: Repository, cache: InitCache
) -> None:
    first = imported(with_cache(make_build(repository.template), cache))
    repository.commit("two")
    second = imported(with_cache(make_build(repository.template), cache))
    found = [
        version_of(with_cache(make_build(repository.template, module_files=files), cache))
        for files in (first, second, first)
    ]
    assert found == ["one", "two", "one"]


def test_a_template_may_download_its_modules_for_each_build(
    make_build: MakeBuild, repository: Repository, cache: InitCache
) -> None:
    found = []
    for version in ("two", "three"):
        repository.commit(version)
        build = make_build(repository.template, fetches_modules=True)
        found.append(version_of(with_cache(build, cache)))
    assert found == ["two", "three"]


def test_modules_that_are_too_large_are_not_kept(
    make_build: MakeBuild, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MAX_BYTES", 1000)
    build = make_build(repository.template)
    build.engine.init(build.context)
    assert build.engine.installed(build.context).files is None
    assert [text for level, text in build.lines if level is LogLevel.WARN] != []


def test_a_template_without_modules_keeps_nothing(make_build: MakeBuild) -> None:
    build = make_build('resource "terraform_data" "a" {}\n')
    build.engine.init(build.context)
    assert build.engine.installed(build.context).files is None


def test_a_link_in_a_module_is_not_followed(make_build: MakeBuild, repository: Repository) -> None:
    (repository.path / "secret").symlink_to("/etc/passwd")
    repository.commit("linked")
    assert b"root:" not in imported(make_build(repository.template))


def with_cache(build: Build, cache: InitCache) -> Build:
    build.engine._cache = cache
    return build
