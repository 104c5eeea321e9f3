"""Provider packages that are downloaded once and shared by all builds of a host.

Terraform's own plugin cache is not safe under parallel inits: it unpacks in place, and another
init may use a partial package. So each init gets its own cache directory, with copies of the
store's complete packages; new packages are moved into the store by ``rename``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.engines.terraform.cache.lockfile import LockedProvider, package_hash
from provisioner.engines.terraform.cache.trees import copy_tree
from provisioner.engines.terraform.cache.treestore import TreeKind, TreeStore

_PACKAGES = "*/*/*/*/*"  # host/namespace/type/version/platform
_PROVIDERS = "providers"


@dataclass(frozen=True, kw_only=True)
class PluginView:
    """The plugin cache directory of one init."""

    directory: Path  #: in a draft of the store
    store: TreeStore
    origin: str  #: the CLI configuration; packages of another origin are not shared
    shown: Mapping[str, str]  #: hash by address of the packages that come from the store

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make Terraform use the directory."""
        return {
            "TF_PLUGIN_CACHE_DIR": str(self.directory),
            # Without it Terraform does not use the cache for templates that have no lock file. The
            # risk in its name is for a lock file that is kept; a build's directory is deleted.
            "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
        }

    def settle(self, data_dir: Path) -> tuple[str, ...]:
        """Copy the packages that ``.terraform`` links to into it, and publish the new ones.

        Args:
            data_dir: the ``.terraform`` directory after a successful init.

        Returns:
            The store's keys of the packages that are in use.

        Raises:
            OSError: the disk is full, or the store cannot be written.
        """
        return tuple(self._settled(data_dir / _PROVIDERS))

    def forged(self, data_dir: Path, locked: Mapping[str, LockedProvider]) -> tuple[str, ...]:
        """Return the addresses of used packages that have changed since they were published.

        Terraform has just read them completely to write ``locked`` or compare them with it.
        """
        used = {address for address, _link in _links(data_dir / _PROVIDERS)}
        return tuple(
            address
            for address, known in self.shown.items()
            if address in used and known not in _hashes(address, locked)
        )

    def drop(self, addresses: tuple[str, ...]) -> None:
        """Remove packages from the store."""
        for address in addresses:
            self.store.drop(TreeKind.PACKAGES, package_key(self.origin, address))

    def _settled(self, providers: Path) -> Iterator[str]:
        for address, link in _links(providers):
            package = self.directory / address
            if package.is_symlink():  # an unpacked mirror: Terraform does not copy it
                target = package.resolve(strict=True)
                link.unlink()
                link.symlink_to(target)
            elif package.is_dir():
                link.unlink()
                copy_tree(package, link)
                yield self._published(address, package)

    def _published(self, address: str, package: Path) -> str:
        key = package_key(self.origin, address)
        if address in self.shown:
            self.store.touch(TreeKind.PACKAGES, key)
        else:
            facts = {"address": address, "origin": self.origin, "h1": package_hash(package)}
            self.store.publish(TreeKind.PACKAGES, key, package, facts=facts)
        return key


def show_packages(
    store: TreeStore, directory: Path, *, origin: str, locked: Mapping[str, LockedProvider]
) -> PluginView:
    """Make the plugin cache directory of an init, with the store's packages in it.

    A package whose hash is not in the template's lock file is left out: Terraform would overwrite
    it in place, and through the hard links also in the store.

    Raises:
        OSError: the directory cannot be made.
    """
    directory.mkdir()
    shown = {}
    for key, facts in store.trees(TreeKind.PACKAGES):
        address, known = facts.get("address", ""), facts.get("h1", "")
        if facts.get("origin") != origin or not _matches(address, known, locked):
            continue
        if store.fetch(TreeKind.PACKAGES, key, directory / address) is not None:
            shown[address] = known
    return PluginView(directory=directory, store=store, origin=origin, shown=shown)


def package_key(origin: str, address: str) -> str:
    """Return the key of a package in the store."""
    return hashlib.sha256(f"{origin}\n{address}".encode()).hexdigest()[:40]


def providers_in(data_dir: Path) -> frozenset[str]:
    """Return the source addresses of the providers in a ``.terraform`` directory."""
    return frozenset(_source(address) for address, _link in _packages(data_dir / _PROVIDERS))


def _matches(address: str, known: str, locked: Mapping[str, LockedProvider]) -> bool:
    if _source(address) not in locked:
        return True
    return known in _hashes(address, locked)


def _hashes(address: str, locked: Mapping[str, LockedProvider]) -> frozenset[str]:
    provider = locked.get(_source(address))
    version = address.split("/")[3]
    return provider.hashes if provider and provider.version == version else frozenset()


def _source(address: str) -> str:
    return "/".join(address.split("/")[:3])


def _links(providers: Path) -> Iterator[tuple[str, Path]]:
    return ((address, path) for address, path in _packages(providers) if path.is_symlink())


def _packages(providers: Path) -> list[tuple[str, Path]]:
    found = sorted(providers.glob(_PACKAGES))
    return [(path.relative_to(providers).as_posix(), path) for path in found]
