"""Trees that are published, fetched, compared with their manifest, and dropped."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from provisioner.engines.terraform.cache.trees import MAX_COPIED, copy_tree, describe_tree
from provisioner.engines.terraform.cache.treestore import TreeKind, TreeStore
from provisioner.host.interrupt import Interrupt, InterruptReason

LARGE = b"x" * (MAX_COPIED + 1)
KIND = TreeKind.INITIALIZED


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> TreeStore:
    return TreeStore(root, max_bytes=100 * 1024**2)


def publish(store: TreeStore, key: str, content: bytes = LARGE, **facts: str) -> None:
    with store.draft() as draft:
        tree = draft / "tree"
        (tree / "inner").mkdir(parents=True)
        (tree / "inner" / "large").write_bytes(content)
        (tree / "small").write_text(key)
        (tree / "link").symlink_to("small")
        store.publish(KIND, key, tree, facts=facts)


def age(root: Path, key: str, seconds: float) -> None:
    os.utime(root / KIND / key, (seconds, seconds))


def keys(store: TreeStore) -> set[str]:
    return {key for key, _facts in store.trees(KIND)}


def test_a_tree_comes_back_with_its_facts(store: TreeStore, tmp_path: Path) -> None:
    publish(store, "a", colour="blue")
    assert store.fetch(KIND, "a", tmp_path / "copy") == {"colour": "blue"}
    assert (tmp_path / "copy" / "link").read_text() == "a"


def test_what_is_not_there_is_not_fetched(store: TreeStore, tmp_path: Path) -> None:
    assert store.fetch(KIND, "a", tmp_path / "copy") is None


def test_a_large_file_is_shared_and_read_only(store: TreeStore, root: Path, tmp_path: Path) -> None:
    publish(store, "a")
    store.fetch(KIND, "a", tmp_path / "copy")
    kept, copy = (path / "inner" / "large" for path in (root / KIND / "a/tree", tmp_path / "copy"))
    assert (kept.stat().st_ino, copy.stat().st_mode & 0o222) == (copy.stat().st_ino, 0)


def test_on_another_file_system_large_files_are_copied(
    store: TreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_paths: object, **_options: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    publish(store, "a")
    monkeypatch.setattr(os, "link", link)
    store.fetch(KIND, "a", tmp_path / "copy")
    copy = (tmp_path / "copy" / "inner" / "large").stat()
    assert (copy.st_nlink, copy.st_size) == (1, len(LARGE))


def test_a_small_file_of_a_copy_may_be_written_in_place(store: TreeStore, tmp_path: Path) -> None:
    publish(store, "a")
    store.fetch(KIND, "a", tmp_path / "one")
    (tmp_path / "one" / "small").write_text("changed")
    store.fetch(KIND, "a", tmp_path / "two")
    assert (tmp_path / "two" / "small").read_text() == "a"


def _rewrite(name: str, data: bytes) -> Callable[[Path], object]:
    def rewrite(tree: Path) -> None:
        (tree / name).unlink()
        (tree / name).write_bytes(data)

    return rewrite


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(_rewrite("small", b"b"), id="small file of the same size"),
        pytest.param(_rewrite("inner/large", LARGE), id="large file written anew"),
        pytest.param(_rewrite("inner/large", LARGE[1:]), id="large file cut"),
        pytest.param(lambda tree: (tree / "small").unlink(), id="file gone"),
        pytest.param(lambda tree: (tree / "more").touch(), id="file added"),
        pytest.param(lambda tree: (tree / "small").chmod(0o777), id="mode"),
        pytest.param(lambda tree: (tree / "more").mkdir(), id="directory added"),
        pytest.param(lambda tree: (tree.parent / "manifest.json").write_text("{"), id="manifest"),
    ],
)
def test_a_tree_that_was_changed_is_not_used(
    store: TreeStore, root: Path, tmp_path: Path, tamper: Callable[[Path], object]
) -> None:
    publish(store, "a")
    tamper(root / KIND / "a" / "tree")
    assert store.fetch(KIND, "a", tmp_path / "copy") is None
    assert not (tmp_path / "copy").exists()


def test_a_tree_that_was_changed_is_dropped(store: TreeStore, root: Path, tmp_path: Path) -> None:
    publish(store, "a")
    (root / KIND / "a" / "tree" / "small").unlink()
    store.fetch(KIND, "a", tmp_path / "copy")
    assert not (root / KIND / "a").exists()


def test_a_tree_whose_facts_are_refused_stays(store: TreeStore, tmp_path: Path) -> None:
    publish(store, "a")
    assert store.fetch(KIND, "a", tmp_path / "copy", accept=lambda _facts: False) is None
    assert keys(store) == {"a"}


def test_publishing_again_replaces(store: TreeStore) -> None:
    publish(store, "a", version="1")
    publish(store, "a", version="2")
    assert dict(store.trees(KIND)) == {"a": {"version": "2"}}


def test_a_copy_outlives_its_tree(store: TreeStore, tmp_path: Path) -> None:
    publish(store, "a")
    store.fetch(KIND, "a", tmp_path / "copy")
    store.drop(KIND, "a")
    assert (tmp_path / "copy" / "inner" / "large").read_bytes() == LARGE


@pytest.mark.parametrize(
    ("used_again", "left"),
    [pytest.param(None, {"b", "c"}, id="in order"), pytest.param("a", {"a", "c"}, id="used again")],
)
def test_what_was_not_used_for_longest_goes_first(
    root: Path, tmp_path: Path, used_again: str | None, left: set[str]
) -> None:
    store = TreeStore(root, max_bytes=int(2.5 * len(LARGE)))
    for second, key in enumerate(("a", "b"), start=1):
        publish(store, key)
        age(root, key, second)
    if used_again:
        store.fetch(KIND, used_again, tmp_path / "copy")
    publish(store, "c")
    assert keys(store) == left


def test_the_number_of_trees_is_bounded(root: Path) -> None:
    store = TreeStore(root, max_bytes=10**9, max_trees=2)
    for second, key in enumerate(("a", "b", "c"), start=1):
        publish(store, key)
        age(root, key, second)
    assert keys(store) == {"b", "c"}


def test_a_file_that_trees_share_counts_once(root: Path) -> None:
    store = TreeStore(root, max_bytes=int(2.5 * len(LARGE)))
    publish(store, "a")
    for key in ("b", "c", "d"):
        with store.draft() as draft:
            copy_tree(root / KIND / "a" / "tree", draft / "tree")
            store.publish(KIND, key, draft / "tree", facts={})
    assert keys(store) == {"a", "b", "c", "d"}


def test_a_draft_is_removed_however_its_making_ends(store: TreeStore, root: Path) -> None:
    def make() -> None:
        with store.draft() as draft:
            (draft / "half").touch()
            raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        make()
    assert list((root / "drafts").iterdir()) == []


@pytest.mark.parametrize(
    ("old", "is_held", "stays"),
    [
        pytest.param(True, False, False, id="its maker is dead"),
        pytest.param(True, True, True, id="its maker lives"),
        pytest.param(False, False, True, id="its maker may be about to lock it"),
    ],
)
def test_a_draft_of_a_dead_maker_is_swept(
    store: TreeStore, root: Path, old: bool, is_held: bool, stays: bool
) -> None:
    left = root / "drafts" / "left"
    left.mkdir(parents=True)
    if old:
        os.utime(left, (1, 1))
    descriptor = os.open(left, os.O_RDONLY)
    if is_held:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with store.draft():
        assert left.exists() is stays
    os.close(descriptor)


@pytest.mark.parametrize("ending", ["interrupt", "patience"])
def test_nobody_waits_for_the_lock_for_ever(store: TreeStore, ending: str) -> None:
    interrupt, minute = Interrupt(), timedelta(minutes=1)
    with store.lock(interrupt, patience=minute):
        if ending == "interrupt":
            interrupt.request(InterruptReason.CANCEL)
        patience = minute if ending == "interrupt" else timedelta()
        with store.lock(interrupt, patience=patience):
            pass  # that this is reached is the answer


def test_a_whole_description_tells_large_files_by_what_is_in_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "large").write_bytes(LARGE)
        os.utime(tmp_path / name / "large", (1, len(name) + (name == "two")))
    one, two = (describe_tree(tmp_path / name, is_whole=True) for name in ("one", "two"))
    assert one == two
