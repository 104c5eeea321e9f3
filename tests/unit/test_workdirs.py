"""Work directories: which state in them is the newest, and the room that they reserve."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.jobs.leases import Lease
from provisioner.host.recovery import newest_state
from provisioner.host.workdir import (
    ERRORED_STATE_FILE,
    RESERVE_FILE,
    STATE_FILE,
    WorkDirectory,
)
from tests.harness.chaos.disks import Disk, mounted_disk
from tests.harness.factory import echo_archive
from tests.harness.states import state_file

KIB = 1024
ROOM = 512 * KIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    found = mounted_disk(tmp_path / "disk", "1m")
    if found is None:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def directory(disk: Disk) -> Iterator[WorkDirectory]:
    made = WorkDirectory(path=disk.folder / "work", lease=Lease(uuid.uuid4(), uuid.uuid4()))
    made.make(echo_archive())
    yield made
    made.remove()


@pytest.mark.parametrize(
    ("state", "errored", "newest"),
    [
        pytest.param(state_file(2), state_file(3), ERRORED_STATE_FILE, id="a later one"),
        pytest.param(state_file(3), state_file(3), ERRORED_STATE_FILE, id="of the same serial"),
        pytest.param(b'{"serial', state_file(3), ERRORED_STATE_FILE, id="instead of half a file"),
        pytest.param(state_file(4), state_file(3), STATE_FILE, id="an older one"),
        pytest.param(state_file(2), b'{"serial', STATE_FILE, id="half of one"),
        pytest.param(state_file(2), state_file(3, lineage="b"), STATE_FILE, id="another lineage"),
    ],
)
def test_the_errored_state_is_the_newest_unless_it_cannot_be(
    tmp_path: Path, state: bytes, errored: bytes, newest: str
) -> None:
    (tmp_path / STATE_FILE).write_bytes(state)
    (tmp_path / ERRORED_STATE_FILE).write_bytes(errored)
    found = newest_state(tmp_path)
    assert found is not None
    assert found.data == (tmp_path / newest).read_bytes()


def test_a_state_fits_into_the_reserved_room_of_a_full_disk(
    disk: Disk, directory: WorkDirectory
) -> None:
    directory.reserve(ROOM)
    with disk.filled():
        with pytest.raises(OSError, match="No space left"):
            (directory.template / STATE_FILE).write_bytes(bytes(ROOM - KIB))
        directory.make_room()
        assert (directory.template / STATE_FILE).write_bytes(bytes(ROOM - KIB)) == ROOM - KIB


def test_room_that_the_disk_lacks_is_not_taken_in_part(
    disk: Disk, directory: WorkDirectory
) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number says which
        directory.reserve(4 * ROOM)
    assert caught.value.errno == errno.ENOSPC
    directory.reserve(ROOM)


def test_a_build_without_a_directory_reserves_nothing(tmp_path: Path) -> None:
    WorkDirectory(path=tmp_path / "none", lease=Lease(uuid.uuid4(), uuid.uuid4())).reserve(ROOM)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_any_more_does_not_end_an_apply(
    directory: WorkDirectory,
) -> None:
    (directory.path / RESERVE_FILE).mkdir()  # cannot be removed, as any file of such a disk
    directory.make_room()
