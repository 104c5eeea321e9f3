"""Directory trees kept by key on disk: bounded, shared by processes, never half there.

    ROOT/<shelf>/<key>/manifest.json   what the tree consisted of when it was published
                       tree/
    ROOT/drafts/<random>/              what is being made; locked while its maker lives
    ROOT/lock                          held by who makes something that others may need too

Trees come and go by ``rename`` alone. Whoever uses one has a copy (see ``trees.copy_tree``),
so any tree may be removed at any time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from provisioner.engines.terraform.cache.trees import (
    Manifest,
    copy_tree,
    describe_tree,
    protect_tree,
    sizes_of,
)
from provisioner.host.interrupt import Interrupt

Facts = Mapping[str, str]

_MANIFEST, _TREE = "manifest.json", "tree"
_DRAFTS = "drafts"
# A draft is made first and locked then; in between nobody may take it for a dead one's.
_SWEEP_AFTER_S = 60.0
_TICK_S = 0.02


class Shelf(StrEnum):
    """The kinds of trees that are kept."""

    INITIALISED = "initialised"  #: ``.terraform`` directories
    PACKAGES = "packages"  #: provider packages


@dataclass(frozen=True, kw_only=True)
class _Manifest:
    facts: Facts
    items: Manifest


class TreeStore:
    """Keeps trees of at most ``max_bytes`` together; those unused for longest go first.

    No more than ``max_trees`` either: each costs a publication 0.1 ms, in which all are looked at.
    """

    def __init__(self, root: Path, *, max_bytes: int, max_trees: int = 500) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._max_trees = max_trees

    @contextmanager
    def alone(self, interrupt: Interrupt, *, patience: timedelta) -> Iterator[None]:
        """Hold the store's lock, so that what several want to make is made once.

        Goes on without it after ``patience`` or at an interrupt: all that is lost is that
        something may be made twice.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + patience.total_seconds()
        with (self._root / "lock").open("w") as file:
            while not _locked(file.fileno()) and time.monotonic() < deadline:
                if interrupt.wait(_TICK_S):
                    break
            yield

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Make a private directory on the store's file system, and remove it in the end.

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

    def publish(self, shelf: Shelf, key: str, tree: Path, *, facts: Facts) -> None:
        """Move ``tree``, which lies in a draft, into the store; it replaces what is there.

        Raises:
            OSError: the disk is full, or somebody published the same key at the same time.
        """
        protect_tree(tree)
        made = Path(tempfile.mkdtemp(dir=tree.parent))
        manifest = {"facts": dict(facts), "items": describe_tree(tree)}
        (made / _MANIFEST).write_text(json.dumps(manifest))
        tree.rename(made / _TREE)
        home = self._root / shelf / key
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.drop(shelf, key)
        made.rename(home)
        self._trim()

    def fetch(
        self,
        shelf: Shelf,
        key: str,
        target: Path,
        *,
        accept: Callable[[Facts], bool] = lambda _facts: True,
    ) -> Facts | None:
        """Make ``target`` a copy of the tree; return its facts, or None if it is not to be had.

        A tree that is not as it was published is dropped; one whose facts are not accepted stays.
        """
        home = self._root / shelf / key
        manifest = _read_manifest(home)
        if manifest is None or not accept(manifest.facts):
            return None
        try:
            copy_tree(home / _TREE, target)
            # The copy is looked at, not the tree: nothing changes in between.
            if describe_tree(target) == manifest.items:
                os.utime(home)
                return manifest.facts
        except OSError:
            pass  # removed meanwhile, or the disk is full
        shutil.rmtree(target, ignore_errors=True)
        self.drop(shelf, key)
        return None

    def shelf(self, shelf: Shelf) -> Iterator[tuple[str, Facts]]:
        """Yield the keys of a shelf with their facts."""
        for home in sorted((self._root / shelf).glob("*")):
            manifest = _read_manifest(home)
            if manifest is not None:
                yield home.name, manifest.facts

    def touch(self, shelf: Shelf, key: str) -> None:
        """Count this as a use of the tree, if it is there."""
        with suppress(OSError):
            os.utime(self._root / shelf / key)

    def drop(self, shelf: Shelf, key: str) -> None:
        """Remove a tree; one that is not there is no error."""
        if not (self._root / shelf / key).exists():
            return
        drafts = self._root / _DRAFTS
        with suppress(OSError):
            drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
            grave = Path(tempfile.mkdtemp(dir=drafts))
            with suppress(FileNotFoundError):
                (self._root / shelf / key).rename(grave / key)
            shutil.rmtree(grave, ignore_errors=True)

    def _trim(self) -> None:
        """Drop trees until the rest fits. A file that several trees share counts once."""
        homes = sorted(self._homes(), key=_last_use)
        sizes = {home: _sizes(home) for home in homes}
        users = Counter(inode for files in sizes.values() for inode in files)
        total = sum(dict(item for files in sizes.values() for item in files.items()).values())
        for position, home in enumerate(homes):
            if total <= self._max_bytes and len(homes) - position <= self._max_trees:
                return
            self.drop(Shelf(home.parent.name), home.name)
            users.subtract(sizes[home].keys())
            total -= sum(size for inode, size in sizes[home].items() if users[inode] == 0)

    def _homes(self) -> list[Path]:
        return [home for shelf in Shelf for home in (self._root / shelf).glob("*")]

    def _sweep(self, drafts: Path) -> None:
        for path in drafts.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _SWEEP_AFTER_S:
                    _remove_unlocked(path)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _locked(descriptor):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _read_manifest(home: Path) -> _Manifest | None:
    try:
        told = json.loads((home / _MANIFEST).read_bytes())
        return _Manifest(facts=dict(told["facts"]), items=dict(told["items"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _last_use(home: Path) -> float:
    try:
        return home.stat().st_mtime
    except OSError:
        return 0.0


def _sizes(home: Path) -> dict[tuple[int, int], int]:
    try:
        return sizes_of(home)
    except OSError:  # removed meanwhile
        return {}
