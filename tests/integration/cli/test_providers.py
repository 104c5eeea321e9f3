"""What an operator does with the provider packages that builds share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provisioner.engines.terraform.cache.lockfile import package_hash
from provisioner.engines.terraform.cache.treestore import TreeKind, TreeStore
from tests.integration.cli.commandline import CommandLine, refused

SOURCE = "registry.example/acme/cloud"
ADDRESS = f"{SOURCE}/1.2.3/linux_amd64"


@pytest.fixture
def root(environment: Mapping[str, str | None]) -> Path:
    """The folder of the store of the command line's data directory."""
    data_dir = environment["PROVISIONERD_DATA_DIR"]
    assert data_dir is not None
    return Path(data_dir) / "cache" / "init"


@pytest.fixture
def binary(root: Path) -> Path:
    """The binary of the only package in the store, which was used two days ago."""
    store = TreeStore(root, max_bytes=10**9)
    with store.draft() as draft:
        tree = draft / "tree"
        tree.mkdir()
        (tree / "terraform-provider-cloud").write_bytes(b"good")
        facts = {"address": ADDRESS, "origin": "registries", "h1": package_hash(tree)}
        store.publish(TreeKind.PACKAGES, "key", tree, facts=facts)
    used_s = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(root / TreeKind.PACKAGES / "key", (used_s, used_s))
    return root / TreeKind.PACKAGES / "key" / "tree" / "terraform-provider-cloud"


def test_packages_are_listed(run: CommandLine, binary: Path) -> None:
    (row,) = run.json("providers", "list")
    assert (row["source"], row["version"], row["platform"]) == (SOURCE, "1.2.3", "linux_amd64")
    assert row["hash"] == package_hash(binary.parent)


def test_a_host_without_packages_has_an_empty_list(run: CommandLine) -> None:
    assert run.json("providers", "list") == []


def test_unchanged_packages_are_verified(run: CommandLine, binary: Path) -> None:
    assert binary.exists()
    result = run("providers", "verify")
    assert (result.exit_code, result.stdout) == (0, "1 of 1 provider packages are unchanged.\n")


def forge(binary: Path) -> None:
    binary.chmod(0o644)
    binary.write_bytes(b"evil")


def link(binary: Path) -> None:
    (binary.parent / "more").symlink_to("/etc/passwd")


@pytest.mark.parametrize("change", [forge, link, Path.unlink])
def test_a_changed_package_is_named(run: CommandLine, binary: Path, change: object) -> None:
    change(binary)  # type: ignore[operator]
    result = run("providers", "verify")
    assert result.exit_code == 1
    assert f"{SOURCE} 1.2.3 linux_amd64 is not what it was" in result.stdout


def test_a_changed_package_can_be_removed(run: CommandLine, binary: Path) -> None:
    forge(binary)
    assert run("providers", "verify", "--drop").exit_code == 1
    assert run.json("providers", "list") == []


@pytest.mark.parametrize(("age", "left"), [("1d", 0), ("3d", 1)])
def test_what_was_not_used_for_long_is_pruned(
    run: CommandLine, binary: Path, age: str, left: int
) -> None:
    assert binary.exists()
    assert run("providers", "prune", "--older-than", age).exit_code == 0
    assert len(run.json("providers", "list")) == left


def test_a_host_that_shares_nothing_says_so(run: CommandLine) -> None:
    refused(run("providers", "list", init_cache_megabytes="0"), "share no providers")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    folder = tmp_path / "template"
    (folder / "m").mkdir(parents=True)
    (folder / "m" / "main.tf").touch()
    (folder / "main.tf").write_text(
        'module "m" {\n  source = "./m"\n}\nresource "terraform_data" "x" {}\n'
    )
    return folder


def test_a_mirror_is_filled_by_terraform(
    run: CommandLine, terraform: Path, template: Path, tmp_path: Path
) -> None:
    """The template needs only what Terraform contains, so this needs no network."""
    target = tmp_path / "mirror"
    result = run("providers", "mirror", str(template), str(target), terraform_binary=str(terraform))
    assert (result.exit_code, target.is_dir()) == (0, True)
    assert f'path = "{target}"' in result.stdout
    assert not (template / ".terraform").exists()


def test_a_mirror_that_cannot_be_filled_is_one_sentence(
    run: CommandLine, terraform: Path, template: Path, tmp_path: Path
) -> None:
    source = 'terraform {\n  required_providers {\n    c = {\n      source = "127.0.0.1:1/a/c"\n'
    (template / "versions.tf").write_text(source + "    }\n  }\n}\n")
    result = run(
        "providers",
        "mirror",
        str(template),
        str(tmp_path / "mirror"),
        terraform_binary=str(terraform),
    )
    assert result.exit_code == 1
    assert "Error: terraform providers mirror: " in result.stderr
