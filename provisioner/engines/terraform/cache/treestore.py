"""Directory trees kept by key on disk: bounded, shared by processes, always complete.

    ROOT/<kind>/<key>/manifest.json   the description of the tree when it was published
                      tree/
    ROOT/drafts/<random>/             an unfinished tree; locked while its process lives
    ROOT/lock                         held by a process that makes trees others may need too

Trees are added and removed only by ``rename``. A build uses a copy (see ``trees.copy_tree``), so
any tree may be removed at any time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain
from pathlib import Path

from provisioner.engines.terraform.cache.trees import (
    Manifest,
    copy_tree,
    describe_tree,
    protect_tree,
    sizes_of,
)
from provisioner.host.interrupt import Interrupt
from provisioner.host.locks import remove_unlocked, try_lock

Facts = Mapping[str, str]

_MANIFEST, _TREE = "manifest.json", "tree"
_DRAFTS = "drafts"
# A draft is made first and locked then; in between it must not be taken for an abandoned one.
_SWEEP_AFTER_S = 60.0
_TICK_S = 0.02


class TreeKind(StrEnum):
    """The kinds of trees that are kept."""

    INITIALIZED = "initialised"  #: ``.terraform`` directories
    PACKAGES = "packages"  #: provider packages


@dataclass(frozen=True, kw_only=True)
class StoredTree:
    """A tree in the store."""

    kind: TreeKind
    key: str
    facts: Facts
    path: Path
    size_bytes: int  #: on disk; trees may share files
    used_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Manifest:
    facts: Facts
    items: Manifest


class TreeStore:
    """Keeps trees of at most ``max_bytes`` in total; the least recently used are removed first.

    It also keeps at most ``max_trees``: a publication looks at all trees, 0.1 ms for each.
    ``shares_files`` is whether builds get large files of the store itself, which is only safe if
    they cannot change them.
    """

    def __init__(
        self, root: Path, *, max_bytes: int, max_trees: int = 500, shares_files: bool = True
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._max_trees = max_trees
        self._shares_files = shares_files

    @contextmanager
    def lock(self, interrupt: Interrupt, *, patience: timedelta) -> Iterator[None]:
        """Hold the store's lock, so that a tree which several builds need is made once.

        The block also runs without the lock after ``patience`` or an interrupt: then a tree may
        be made twice, which does no harm.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + patience.total_seconds()
        with (self._root / "lock").open("w") as file:
            while not try_lock(file.fileno()) and time.monotonic() < deadline:
                if interrupt.wait(_TICK_S):
                    break
            yield

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Make a private directory on the store's file system; remove it at the end.

        Raises:
            OSError: it cannot be made.
        """
        drafts = self._root / _DRAFTS
        drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep(drafts)
        path = Path(tempfile.mkdtemp(dir=drafts))
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)

    def publish(self, kind: TreeKind, key: str, tree: Path, *, facts: Facts) -> None:
        """Move ``tree`` from a draft into the store; it replaces the tree of that key.

        Raises:
            OSError: the disk is full, or another process published the same key at the same time.
        """
        protect_tree(tree)
        made = Path(tempfile.mkdtemp(dir=tree.parent))
        manifest = {"facts": dict(facts), "items": describe_tree(tree)}
        (made / _MANIFEST).write_text(json.dumps(manifest))
        tree.rename(made / _TREE)
        entry = self._entry(kind, key)
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.drop(kind, key)
        made.rename(entry)
        self._trim()

    def copy(self, source: Path, target: Path) -> None:
        """Copy a tree between the store and a build.

        Raises:
            OSError: as of ``copy_tree``.
        """
        copy_tree(source, target, shares_files=self._shares_files)

    def fetch(
        self,
        kind: TreeKind,
        key: str,
        target: Path,
        *,
        accept: Callable[[Facts], bool] = lambda _facts: True,
    ) -> Facts | None:
        """Copy a tree to ``target``; return its facts, or None if there is no such tree.

        A tree that has changed since it was published is removed; a tree whose facts are not
        accepted is kept.
        """
        entry = self._entry(kind, key)
        manifest = _read_manifest(entry)
        if manifest is None or not accept(manifest.facts):
            return None
        try:
            self.copy(entry / _TREE, target)
            # The copy is compared, not the tree, which could change after a comparison.
            if describe_tree(target) == manifest.items:
                os.utime(entry)
                return manifest.facts
        except OSError:
            pass  # removed meanwhile, or the disk is full
        shutil.rmtree(target, ignore_errors=True)
        self.drop(kind, key)
        return None

    def trees(self, kind: TreeKind) -> Iterator[tuple[str, Facts]]:
        """Yield the keys of all trees of a kind with their facts."""
        for entry in sorted((self._root / kind).glob("*")):
            manifest = _read_manifest(entry)
            if manifest is not None:
                yield entry.name, manifest.facts

    def listing(self, kind: TreeKind) -> Iterator[StoredTree]:
        """Yield all trees of a kind; one that is removed meanwhile is left out."""
        for key, facts in self.trees(kind):
            entry = self._entry(kind, key)
            used_s, size_bytes = _last_use(entry), sum(_sizes(entry).values())
            if used_s and size_bytes:
                yield StoredTree(
                    kind=kind,
                    key=key,
                    facts=facts,
                    path=entry / _TREE,
                    size_bytes=size_bytes,
                    used_at=datetime.fromtimestamp(used_s, UTC),
                )

    def touch(self, kind: TreeKind, key: str) -> None:
        """Record a use of the tree, if it exists."""
        with suppress(OSError):
            os.utime(self._entry(kind, key))

    def drop(self, kind: TreeKind, key: str) -> None:
        """Remove a tree, if it exists."""
        entry = self._entry(kind, key)
        if not entry.exists():
            return
        drafts = self._root / _DRAFTS
        with suppress(OSError):
            drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
            removed = Path(tempfile.mkdtemp(dir=drafts))
            with suppress(FileNotFoundError):
                entry.rename(removed / key)
            shutil.rmtree(removed, ignore_errors=True)

    def _trim(self) -> None:
        """Remove the least recently used trees until the rest is within the limits."""
        entries = sorted(self._entries(), key=_last_use)
        usage = _DiskUsage(entries)
        for position, entry in enumerate(entries):
            trees = len(entries) - position
            if usage.total_bytes <= self._max_bytes and trees <= self._max_trees:
                return
            self.drop(TreeKind(entry.parent.name), entry.name)
            usage.remove(entry)

    def _entry(self, kind: TreeKind, key: str) -> Path:
        return self._root / kind / key

    def _entries(self) -> list[Path]:
        return [entry for kind in TreeKind for entry in (self._root / kind).glob("*")]

    def _sweep(self, drafts: Path) -> None:
        for path in drafts.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _SWEEP_AFTER_S:
                    remove_unlocked(path)


class _DiskUsage:
    """The bytes on disk of several trees. A file that trees share counts once."""

    def __init__(self, entries: Iterable[Path]) -> None:
        self._sizes = {entry: _sizes(entry) for entry in entries}
        self._users = Counter(chain.from_iterable(self._sizes.values()))
        files: dict[tuple[int, int], int] = {}
        for sizes in self._sizes.values():
            files |= sizes
        self.total_bytes = sum(files.values())

    def remove(self, entry: Path) -> None:
        """Subtract the files that only this tree used."""
        sizes = self._sizes[entry]
        self._users.subtract(sizes.keys())
        self.total_bytes -= sum(size for inode, size in sizes.items() if not self._users[inode])


def _read_manifest(entry: Path) -> _Manifest | None:
    try:
        stored = json.loads((entry / _MANIFEST).read_bytes())
        return _Manifest(facts=dict(stored["facts"]), items=dict(stored["items"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _last_use(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def _sizes(entry: Path) -> dict[tuple[int, int], int]:
    try:
        return sizes_of(entry)
    except OSError:  # removed meanwhile
        return {}
