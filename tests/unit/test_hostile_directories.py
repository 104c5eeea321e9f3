"""Work directories in which a template's programs have left what hangs or misleads a worker."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from db.jobs.leases import Lease
from db.jobs.statefiles import MAX_STATE_BYTES
from provisioner.host import recovery
from provisioner.host.leasefile import KEY_FILE, LEASE_FILE, lease_key
from provisioner.host.reading import read_file
from provisioner.host.recovery import newest_state
from provisioner.host.removal import remove_tree
from provisioner.host.workdir import (
    ERRORED_STATE_FILE,
    REMNANT_AGE_S,
    STATE_FILE,
    WorkDirectory,
    find_work_directories,
    name_work_directory,
    remove_remnants,
)
from tests.harness.factory import echo_archive
from tests.harness.states import state_file

DEPTH = 1500


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(state_file(9))
    path.symlink_to(other)


def folder(path: Path) -> None:
    path.mkdir()


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # a path of a socket is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_STATE_BYTES + 1)


def nothing(_path: Path) -> None:
    pass


@pytest.mark.parametrize(
    "planted", [pipe, endless, link_to_another, folder, listening, sparse, nothing]
)
def test_what_is_no_plain_file_is_no_state(tmp_path: Path, planted: Callable[[Path], None]) -> None:
    planted(tmp_path / STATE_FILE)
    assert newest_state(tmp_path) is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_a_state_that_the_host_cannot_read_now_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_arguments: object, **_named: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(recovery, "read_file", fail)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        newest_state(tmp_path)


def test_a_folder_cannot_be_exchanged_for_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/secret").write_text("secret")
    (tmp_path / "link").symlink_to("real")
    assert read_file(tmp_path, "real/secret", limit=10) == b"secret"
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        read_file(tmp_path, "link/secret", limit=10)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        read_file(tmp_path / "link", "secret", limit=10)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A folder that is too deep for Python's stack and for a path."""
    top = tmp_path / "deep"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("folder", dir_fd=descriptor)
        inner = os.open("folder", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    return top


def test_a_deep_folder_is_removed(deep: Path) -> None:
    assert remove_tree(deep)
    assert not deep.exists()


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o100])
def test_a_folder_that_nobody_may_enter_is_removed(tmp_path: Path, mode: int) -> None:
    inner = tmp_path / "top/inner"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    inner.chmod(mode)
    inner.parent.chmod(mode)
    assert remove_tree(tmp_path / "top")


def test_what_a_link_leads_to_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "toplink").symlink_to(tmp_path / "kept")
    assert remove_tree(top)
    assert remove_tree(tmp_path / "toplink")
    assert (tmp_path / "kept/file").exists()


def test_names_that_are_no_text_and_special_files_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "gone-0/gone-1").mkdir(parents=True)
    os.mkdir(os.fsencode(top) + b"/\xff\xfe")  # noqa: PTH102 - no text
    os.mkfifo(top / "gone-0/pipe")
    listening(top / "socket")
    assert remove_tree(top)


def test_a_removal_ends_in_time_and_goes_on_later(deep: Path) -> None:
    assert not remove_tree(deep, limit_s=0)
    assert remove_tree(deep)


def test_what_is_gone_already_counts_as_removed(tmp_path: Path) -> None:
    assert remove_tree(tmp_path / "nothing")
    assert remove_tree(tmp_path / "nothing/at all")


@pytest.fixture
def left(tmp_path: Path) -> WorkDirectory:
    """The directory of a lost worker."""
    made = name_work_directory(tmp_path, Lease(uuid.uuid4(), uuid.uuid4()), claim=1)
    made.make(echo_archive())
    made.release()
    return made


def found_in(root: Path) -> tuple[list[Lease], dict[str, str]]:
    forged: dict[str, str] = {}
    found = find_work_directories(
        root, on_forged=lambda path, reason: forged.update({path.name: reason})
    )
    return [directory.lease for directory in found], forged


def test_a_lease_that_a_worker_wrote_is_believed(left: WorkDirectory, tmp_path: Path) -> None:
    assert found_in(tmp_path) == ([left.lease], {})


def forged_copy(left: WorkDirectory) -> Path:
    """A directory of another attempt with the lease file of this one."""
    copy = left.path.with_name(f"{left.path.name[:12]}-2")
    copy.mkdir()
    (copy / LEASE_FILE).write_bytes((left.path / LEASE_FILE).read_bytes())
    return copy


def forged_job(left: WorkDirectory) -> Path:
    """A directory whose lease file names another owner's job."""
    path = left.path.with_name("0123456789ab-1")
    path.mkdir()
    (path / LEASE_FILE).write_bytes((left.path / LEASE_FILE).read_bytes())
    return path


def unsigned(left: WorkDirectory) -> Path:
    """A directory whose lease file has no signature."""
    job = uuid.uuid4()
    path = left.path.with_name(f"{job.hex[:12]}-1")
    path.mkdir()
    fields = {"job_id": str(job), "lease_token": str(uuid.uuid4())}
    (path / LEASE_FILE).write_text(json.dumps(fields))
    return path


def forged_pipe(left: WorkDirectory) -> Path:
    """A directory whose lease file would keep a reader waiting."""
    path = left.path.with_name("0123456789ab-2")
    path.mkdir()
    os.mkfifo(path / LEASE_FILE)
    return path


@pytest.mark.parametrize("forge", [forged_copy, forged_job, unsigned, forged_pipe])
def test_a_forged_lease_is_not_believed_and_stops_no_other(
    left: WorkDirectory, tmp_path: Path, forge: Callable[[WorkDirectory], Path]
) -> None:
    path = forge(left)
    leases, forged = found_in(tmp_path)
    assert leases == [left.lease]
    assert list(forged) == [path.name]


def make_later_key(root: Path) -> None:
    """Make a key that is newer than all files; the file system's clock may tick every 10 ms."""
    lease_key(root)
    later = time.time() + 60
    os.utime(root / KEY_FILE, (later, later))


def test_a_lease_of_a_version_that_did_not_sign_is_believed(
    left: WorkDirectory, tmp_path: Path
) -> None:
    earlier = unsigned(left)
    (tmp_path / KEY_FILE).unlink()
    make_later_key(tmp_path)
    leases, _forged = found_in(tmp_path)
    assert earlier.name[:12] in {lease.job_id.hex[:12] for lease in leases}


def test_a_lease_that_is_older_than_a_new_key_is_believed(
    left: WorkDirectory, tmp_path: Path
) -> None:
    (tmp_path / KEY_FILE).unlink()
    make_later_key(tmp_path)
    assert found_in(tmp_path) == ([left.lease], {})


@pytest.mark.parametrize("name", [STATE_FILE, ERRORED_STATE_FILE])
@pytest.mark.parametrize("text", [b"", b"{}", None])
def test_a_directory_that_lost_its_lease_is_kept_if_it_has_a_state(
    left: WorkDirectory, tmp_path: Path, text: bytes | None, name: str
) -> None:
    if text is None:
        (left.path / LEASE_FILE).unlink()
    else:
        (left.path / LEASE_FILE).write_bytes(text)
    (left.template / name).write_bytes(state_file(3))
    os.utime(left.path, (time.time() - REMNANT_AGE_S - 1,) * 2)
    remove_remnants(tmp_path)
    assert newest_state(left.template) is not None
    assert list(found_in(tmp_path)[1]) == [left.path.name]


def test_the_key_is_made_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    lease_key(tmp_path)
    made = (tmp_path / KEY_FILE).read_bytes()
    lease_key(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == made
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    lease_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(OSError, match="only this user can read"):
        lease_key(tmp_path)


def test_odd_entries_of_a_work_root_stop_no_recovery(left: WorkDirectory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "aaaaaaaaaaaa-1")
    (tmp_path / "bbbbbbbbbbbb-1").symlink_to("/dev/zero")
    (tmp_path / "cccccccccccc-1").symlink_to(left.path)
    old = time.time() - 2 * REMNANT_AGE_S
    remnant = tmp_path / "dddddddddddd-1"
    (remnant / "template").mkdir(parents=True)
    os.utime(remnant, (old, old))
    remove_remnants(tmp_path)
    assert not remnant.exists()
    assert found_in(tmp_path) == ([left.lease], {})
