"""Provider packages that are downloaded once and shared by all builds of a host.

Terraform's own plugin cache is not safe under parallel inits: it unpacks in place, and another
init may use a partial package. So each init gets its own cache directory, with links to copies of
the store's complete packages, which it cannot change; new packages are moved into the store by
``rename``.

A package reaches the store only if it comes from a source that the CLI configuration names, and
its hash, computed here, is in the lock file that Terraform wrote. If the configuration names no
mirror, the lock file must also have the hashes that the registry signed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.engines.terraform.cache.cliconfig import has_mirrors, has_sources
from provisioner.engines.terraform.cache.lockfile import SIGNED, LockedProvider, package_hash
from provisioner.engines.terraform.cache.trees import is_plain, sizes_of
from provisioner.engines.terraform.cache.treestore import TreeKind, TreeStore

_PACKAGES = "*/*/*/*/*"  # host/namespace/type/version/platform
_PROVIDERS = "providers"


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of the packages of an init."""

    keys: tuple[str, ...]  #: of the store, which has them
    refused: tuple[str, ...]  #: addresses of packages that only this build may use


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the providers of an init come from, as its CLI configuration says."""

    config: str  #: the text of the configuration

    @property
    def origin(self) -> str:
        """The name of the sources; packages of other sources are not shared."""
        return hashlib.sha256(os.fsencode(self.config)).hexdigest()

    def vouch_for(self, package_hash: str, hashes: frozenset[str]) -> bool:
        """Return whether other builds may use a package; ``hashes`` are those of the lock file."""
        if not has_sources(self.config) or package_hash not in hashes:
            return False
        is_signed = any(known.startswith(SIGNED) for known in hashes)
        return is_signed or has_mirrors(self.config)


@dataclass(frozen=True, kw_only=True)
class PluginView:
    """The plugin cache directory of one init."""

    directory: Path  #: in a draft of the store; Terraform adds packages
    lent: Path  #: copies of the store's packages, which Terraform only reads
    store: TreeStore
    sources: Sources
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

    def settle(self, data_dir: Path, locked: Mapping[str, LockedProvider]) -> Settled:
        """Copy the packages that ``.terraform`` links to into it, and publish the new ones.

        Args:
            data_dir: the ``.terraform`` directory after a successful init.
            locked: the lock file after it.

        Raises:
            OSError: the disk is full, or the store cannot be written.
        """
        keys, refused = [], []
        for address, link in _links(data_dir / _PROVIDERS):
            package = self._copy(address, link)
            if package is None:
                continue
            if self._publish(address, package, _hashes(address, locked)):
                keys.append(package_key(self.sources.origin, address))
            else:
                refused.append(address)
        return Settled(keys=tuple(keys), refused=tuple(refused))

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
            self.store.drop(TreeKind.PACKAGES, package_key(self.sources.origin, address))

    def _copy(self, address: str, link: Path) -> Path | None:
        """Replace the link by a copy of the package, and return the package.

        Return None for one of an unpacked mirror, which stays where it is.
        """
        package = self.directory / address
        if address in self.shown:
            package = self.lent / address
        elif package.is_symlink():  # an unpacked mirror: Terraform does not copy it
            target = package.resolve(strict=True)
            link.unlink()
            link.symlink_to(target)
            return None
        link.unlink()
        self.store.copy(package, link)
        return package

    def _publish(self, address: str, package: Path, hashes: frozenset[str]) -> bool:
        """Publish a package that is new, and return whether the store has it."""
        key = package_key(self.sources.origin, address)
        if address in self.shown:
            self.store.touch(TreeKind.PACKAGES, key)
            return True
        if not is_plain(package):
            return False
        digest = package_hash(package)
        if not self.sources.vouch_for(digest, hashes):
            return False
        facts = {"address": address, "origin": self.sources.origin, "h1": digest}
        self.store.publish(TreeKind.PACKAGES, key, package, facts=facts)
        return True


def show_packages(
    store: TreeStore, draft: Path, *, sources: Sources, locked: Mapping[str, LockedProvider]
) -> PluginView:
    """Make the plugin cache directory of an init, with the store's packages in it.

    A package whose hash is not in the template's lock file is left out: Terraform would try to
    overwrite it in place.

    Args:
        draft: is made; both folders of the view are in it.

    Raises:
        OSError: the directory cannot be made.
    """
    directory, lent = draft / "plugins", draft / "lent"
    for folder in (draft, directory, lent):
        folder.mkdir()
        folder.chmod(0o755)  # builds of root are users of their own
    shown = {}
    for key, facts in store.trees(TreeKind.PACKAGES):
        address, known = facts.get("address", ""), facts.get("h1", "")
        if facts.get("origin") != sources.origin or not _matches(address, known, locked):
            continue
        if store.fetch(TreeKind.PACKAGES, key, lent / address) is not None:
            link = directory / address
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(lent / address)
            shown[address] = known
    return PluginView(directory=directory, lent=lent, store=store, sources=sources, shown=shown)


def package_key(origin: str, address: str) -> str:
    """Return the key of a package in the store."""
    return hashlib.sha256(f"{origin}\n{address}".encode()).hexdigest()[:40]


def providers_in(data_dir: Path) -> frozenset[str]:
    """Return the source addresses of the providers in a ``.terraform`` directory."""
    return frozenset(_source(address) for address, _link in _packages(data_dir / _PROVIDERS))


def size_of_providers(data_dir: Path) -> int:
    """Return the bytes on disk of the providers in a ``.terraform`` directory.

    Raises:
        OSError: they cannot be read.
    """
    packages = (package for _address, package in _packages(data_dir / _PROVIDERS))
    return sum(sum(sizes_of(package).values()) for package in packages)


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
