"""The provider packages that builds of a host share, for the operator: list, verify and prune."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from provisioner.engines.terraform.cache.lockfile import package_hash
from provisioner.engines.terraform.cache.trees import is_plain
from provisioner.engines.terraform.cache.treestore import StoredTree, TreeKind, TreeStore


@dataclass(frozen=True, kw_only=True)
class StoredPackage:
    """A provider package in the store."""

    source: str  #: ``HOST/NAMESPACE/TYPE``
    version: str
    platform: str
    hash: str  #: of the package when it was published, in the form of lock files
    size_bytes: int
    used_at: datetime
    tree: StoredTree

    def is_unchanged(self) -> bool:
        """Return whether the package still has its hash; this reads it completely."""
        try:
            return is_plain(self.tree.path) and package_hash(self.tree.path) == self.hash
        except OSError:
            return False


def list_packages(store: TreeStore) -> list[StoredPackage]:
    """Return the packages in the store, by address."""
    found = map(_package, store.listing(TreeKind.PACKAGES))
    return sorted(found, key=lambda package: (package.source, package.version, package.platform))


def prune_trees(store: TreeStore, *, before: datetime) -> Iterator[StoredTree]:
    """Remove what no build has used since a time, initialized directories too; yield it."""
    for kind in TreeKind:
        for tree in list(store.listing(kind)):
            if tree.used_at < before:
                store.drop(kind, tree.key)
                yield tree


def _package(tree: StoredTree) -> StoredPackage:
    host, namespace, name, version, platform = (
        [*tree.facts.get("address", "").split("/"), *[""] * 5]
    )[:5]
    return StoredPackage(
        source="/".join(filter(None, (host, namespace, name))),
        version=version,
        platform=platform,
        hash=tree.facts.get("h1", ""),
        size_bytes=tree.size_bytes,
        used_at=tree.used_at,
        tree=tree,
    )
