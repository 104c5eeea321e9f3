"""``provisionerd providers``: what builds of this host share, and mirrors for other hosts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document
from cli.spans import AGE
from cli.table import WIDE, Column, age
from provisioner.engines.terraform.cache.packages import (
    StoredPackage,
    list_packages,
    prune_trees,
)
from provisioner.engines.terraform.cache.treestore import TreeKind, TreeStore
from provisioner.engines.terraform.mirroring import mirror_providers
from provisioner.host.packing import pack_folder
from worker.broker.secretfile import PREFIX
from worker.process.services import locate_terraform, provider_store
from worker.settings import Settings, SettingsError, load_settings

_CONFIG = """\
provider_installation {{
  filesystem_mirror {{
    path = "{path}"
  }}
}}"""


FIELDS = ("source", "version", "platform", "hash", "size_bytes", "used_at")


def _document(package: StoredPackage) -> dict[str, object]:
    return {name: getattr(package, name) for name in FIELDS}


KIND: Kind[StoredPackage] = Kind(
    plural="provider packages",
    columns={
        "SOURCE": lambda package: package.source,
        "VERSION": lambda package: package.version,
        "PLATFORM": Column(lambda package: package.platform, 1),
        "MIB": lambda package: round(package.size_bytes / 1024**2, 1),
        "USED": lambda package: age(package.used_at),
        "USED AT": Column(lambda package: package.used_at, WIDE),
        "HASH": Column(lambda package: package.hash, WIDE),
    },
    name=lambda package: package.source,
    document=_document,
)


@click.group(cls=AliasGroup)
def providers() -> None:
    """List, verify and prune the provider packages of this host; fill mirrors."""


@providers.command("list")
@listing_options(KIND)
def list_(listing: Listing[StoredPackage]) -> None:
    r"""List the provider packages that builds of this host share.

    \b
    Example:
        provisionerd providers list --output json
    """
    store = _store()
    listing.print(lambda limit: list_packages(store)[:limit])


@providers.command()
@click.option("--drop", is_flag=True, help="Remove the packages that have changed.")
@output_option
def verify(drop: bool, output: str) -> None:
    r"""Check that no provider package has changed.

    Each is compared with the hash that it had when a build brought it. The exit
    status is 1 if one has changed.

    \b
    Example:
        provisionerd providers verify --drop
    """
    store = _store()
    found = list_packages(store)
    changed = [package for package in found if not package.is_unchanged()]
    if drop:
        for package in changed:
            store.drop(TreeKind.PACKAGES, package.tree.key)
    if output in DOCUMENTS:
        print_document(
            [{**_document(package), "changed": package in changed} for package in found], output
        )
    else:
        _print_changed(changed, len(found), drop=drop)
    sys.exit(1 if changed else 0)


@providers.command()
@click.option(
    "--older-than",
    type=AGE,
    default="30d",
    show_default=True,
    metavar="AGE",
    help="Remove what no build has used since then: 30d, 12h.",
)
@output_option
def prune(older_than: timedelta, output: str) -> None:
    r"""Remove what no build uses any more.

    Provider packages and initialized directories are removed. A build that needs
    one again downloads it.

    \b
    Example:
        provisionerd providers prune --older-than 7d
    """
    pruned = list(prune_trees(_store(), before=datetime.now(UTC) - older_than))
    counts = {kind.name.lower(): sum(tree.kind is kind for tree in pruned) for kind in TreeKind}
    if output in DOCUMENTS:
        print_document(counts, output)
        return
    click.echo(
        f"Removed {counts['packages']} provider packages and {counts['initialized']}"
        " initialized directories."
    )


@providers.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS_ARCH",
    help="Such as linux_arm64; otherwise that of this host. Repeatable.",
)
def mirror(directory: Path, target: Path, platforms: Sequence[str]) -> None:
    r"""Download the providers of a template for other hosts.

    DIRECTORY has the template, and TARGET gets the packages. Terraform takes them
    from their registries, and checks the signatures. The folder can be used where
    there is no network: put it there, read-only, and let
    PROVISIONERD_TERRAFORM_CLI_CONFIG_FILE name a file with the lines that this
    prints.

    \b
    Example:
        provisionerd providers mirror ./template ./mirror --platform linux_amd64
    """
    settings = load_settings()
    mirror_providers(
        locate_terraform(settings),
        pack_folder(directory).archive,
        target,
        environment=_environment(settings),
        platforms=platforms,
        on_line=lambda line: click.echo(line, err=True),
    )
    click.echo(_CONFIG.format(path=target.absolute()))


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of the person who runs this, with the configuration of builds."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    config = settings.terraform_cli_config_file
    return {**own, **({"TF_CLI_CONFIG_FILE": str(config)} if config else {})}


def _store() -> TreeStore:
    store = provider_store(load_settings())
    if store is None:
        raise SettingsError("builds of this host share no providers (INIT_CACHE_MEGABYTES is 0)")
    return store


def _print_changed(changed: Sequence[StoredPackage], total: int, *, drop: bool) -> None:
    for package in changed:
        end = "it was removed" if drop else "`--drop` removes it"
        name = f"{package.source} {package.version} {package.platform}"
        click.echo(f"{name} is not what it was when a build brought it; {end}.")
    click.echo(f"{total - len(changed)} of {total} provider packages are unchanged.")
