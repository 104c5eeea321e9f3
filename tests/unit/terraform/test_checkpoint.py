"""Which states are taken while Terraform writes its state file in place."""

from __future__ import annotations

import json
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from db.jobs.statefiles import MAX_STATE_BYTES
from provisioner.engines.port import EngineError
from provisioner.engines.terraform import checkpoint
from provisioner.engines.terraform.checkpoint import OVERSIZED, UNWRITABLE_POLLS, Checkpoints
from provisioner.host.recovery import newest_state
from provisioner.host.workdir import ERRORED_STATE_FILE, STATE_FILE

NEVER = timedelta(days=1)


def state(serial: int, lineage: str = "ours", **more: object) -> bytes:
    return json.dumps({"version": 4, "serial": serial, "lineage": lineage, **more}).encode()


class Store:
    """Stands for the database that checkpoints go to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.states: list[bytes] = []
        self.warnings: list[str] = []
        self.failures = 0
        self.made_room = 0
        self.got_one = threading.Event()

    def take(self, data: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("password=hunter2")
        self.states.append(data)
        self.got_one.set()

    def make_room(self) -> None:
        self.made_room += 1

    def watch(self, base: bytes | None = None, interval: timedelta = NEVER) -> Checkpoints:
        return Checkpoints(
            self.directory,
            base=base,
            deliver=self.take,
            warn=self.warnings.append,
            make_room=self.make_room,
            interval=interval,
        )

    def write(self, data: bytes, name: str = STATE_FILE) -> None:
        (self.directory / name).write_bytes(data)

    def write_too_much(self) -> None:
        self.write(b"")
        os.truncate(self.directory / STATE_FILE, MAX_STATE_BYTES + 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_each_new_state_is_delivered_once(store: Store) -> None:
    checkpoints = store.watch(state(1))
    for data in (state(1), state(2), state(2), state(3)):
        store.write(data)
        checkpoints.poll()
    assert store.states == [state(2), state(3)]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"", id="empty"),
        pytest.param(state(6, resources=[])[:-2], id="half"),
        pytest.param(state(4), id="lower serial"),
        pytest.param(state(6, lineage="theirs"), id="other lineage"),
        pytest.param(b'{"version": 4, "serial": 6}', id="no lineage"),
        pytest.param(b'{"version": 4, "lineage": "ours"}', id="no serial"),
    ],
)
@pytest.mark.parametrize("name", [STATE_FILE, ERRORED_STATE_FILE])
def test_a_bad_state_file_never_replaces_a_good_state(store: Store, name: str, bad: bytes) -> None:
    with store.watch(state(1)) as checkpoints:
        store.write(state(5))
        checkpoints.poll()
        store.write(bad, name)
        checkpoints.poll()
    assert checkpoints.newest == state(5)
    assert set(store.states) == {state(5)}


def test_the_first_state_of_a_new_workspace_is_taken(store: Store) -> None:
    checkpoints = store.watch()
    store.write(state(1, lineage="new"))
    checkpoints.poll()
    assert store.states == [state(1, lineage="new")]


def test_without_any_state_nothing_is_delivered(store: Store) -> None:
    with store.watch() as checkpoints:
        checkpoints.poll()
    assert (store.states, checkpoints.newest) == ([], None)


def test_the_last_state_is_left_to_whoever_stores_the_result(store: Store) -> None:
    with store.watch(state(1)) as checkpoints:
        store.write(state(2))
        checkpoints.poll()
        store.write(state(3))
    assert (store.states, checkpoints.newest) == ([state(2)], state(3))


def test_the_watcher_delivers_while_the_apply_runs(store: Store) -> None:
    with store.watch(state(1), interval=timedelta(milliseconds=5)):
        store.write(state(2))
        assert store.got_one.wait(20)


@pytest.mark.parametrize("serial", [2, 3])
def test_an_errored_state_goes_before_the_state_file(store: Store, serial: int) -> None:
    """Terraform writes it when it could not save the newest state where it belongs."""
    errored = state(serial, resources=[])
    with store.watch(state(1)) as checkpoints:
        store.write(state(2))
        store.write(errored, ERRORED_STATE_FILE)
    assert checkpoints.newest == errored


def test_a_printed_state_goes_before_what_is_on_disk(store: Store) -> None:
    """Terraform prints it when it could write it to no file."""
    printed = state(2, resources=[])
    with store.watch(state(1)) as checkpoints:
        store.write(state(2))
        checkpoints.take_printed(printed)
    assert checkpoints.newest == printed


def test_a_printed_state_is_written_where_recovery_finds_it(store: Store) -> None:
    with store.watch(state(1)) as checkpoints:
        store.write(b"")
        store.write(b"half", ERRORED_STATE_FILE)
        checkpoints.take_printed(state(2))
    found = newest_state(store.directory)
    assert found is not None
    assert found.data == (store.directory / ERRORED_STATE_FILE).read_bytes() == state(2)


@pytest.mark.parametrize("printed", [state(4), state(6, lineage="theirs"), b"no state"])
def test_a_printed_state_of_another_history_is_not_taken(store: Store, printed: bytes) -> None:
    with store.watch(state(5)) as checkpoints:
        checkpoints.take_printed(printed)
    assert (checkpoints.newest, list(store.directory.iterdir())) == (state(5), [])


def test_room_is_made_once_when_terraform_cannot_write_its_state(store: Store) -> None:
    checkpoints = store.watch(state(1))
    store.write(state(2)[:10])
    for _ in range(UNWRITABLE_POLLS - 1):
        checkpoints.poll()
    before = store.made_room
    for _ in range(UNWRITABLE_POLLS):
        checkpoints.poll()
    assert (before, store.made_room, len(store.warnings)) == (0, 1, 1)


@pytest.mark.parametrize("data", [state(1), state(2), state(9, lineage="theirs"), None])
def test_no_room_is_made_while_the_state_file_is_whole_or_missing(
    store: Store, data: bytes | None
) -> None:
    checkpoints = store.watch(state(1))
    if data is not None:
        store.write(data)
    for _ in range(UNWRITABLE_POLLS + 1):
        checkpoints.poll()
    assert store.made_room == 0


def test_room_is_made_before_a_printed_state_is_written(store: Store) -> None:
    before: list[Path] = []
    checkpoints = Checkpoints(
        store.directory,
        base=None,
        deliver=store.take,
        warn=store.warnings.append,
        make_room=lambda: before.extend(store.directory.iterdir()),
    )
    with checkpoints:
        checkpoints.take_printed(state(1))
    assert (before, (store.directory / ERRORED_STATE_FILE).read_bytes()) == ([], state(1))


def test_a_state_that_is_too_large_is_told_once_and_known_at_the_end(store: Store) -> None:
    with store.watch(state(1)) as checkpoints:
        store.write_too_much()
        checkpoints.poll()
        checkpoints.poll()
    assert store.warnings == ["The state has more than 64 MiB, so it cannot be stored"]
    assert (checkpoints.loss, checkpoints.newest) == (OVERSIZED, state(1))


def test_a_state_that_was_too_large_for_a_while_is_stored(store: Store) -> None:
    with store.watch(state(1)) as checkpoints:
        store.write_too_much()
        checkpoints.poll()
        store.write(state(2))
    assert (checkpoints.loss, checkpoints.newest) == ("", state(2))


def test_a_delivery_that_fails_is_told_and_tried_again(store: Store) -> None:
    store.failures = 1
    checkpoints = store.watch(state(1))
    store.write(state(2))
    checkpoints.poll()
    checkpoints.poll()
    assert store.states == [state(2)]
    assert store.warnings == [
        "A checkpoint of the Terraform state could not be stored (ConnectionError)"
    ]


def test_a_row_of_failed_deliveries_is_told_once(store: Store) -> None:
    store.failures = 3
    checkpoints = store.watch(state(1))
    store.write(state(2))
    for _ in range(4):
        checkpoints.poll()
    assert (store.states, len(store.warnings)) == ([state(2)], 1)


def test_deliveries_that_fail_do_not_lose_the_state(store: Store) -> None:
    store.failures = 1
    with store.watch(state(1)) as checkpoints:
        store.write(state(2))
        checkpoints.poll()
    assert (checkpoints.newest, len(store.warnings)) == (state(2), 1)


BAD_STATES = [
    pytest.param(b"", "is not complete", id="empty"),
    pytest.param(state(6)[:-2], "is not complete", id="half"),
    pytest.param(state(4), "is older than the workspace's", id="lower serial"),
    pytest.param(state(6, lineage="theirs"), "another lineage", id="other lineage"),
    pytest.param(state(6, name="x" * 100), "has more than", id="oversized"),
    pytest.param(None, "is missing", id="missing"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_STATES)
def test_an_apply_whose_state_cannot_be_taken_has_not_succeeded(
    store: Store, monkeypatch: pytest.MonkeyPatch, bad: bytes | None, reason: str
) -> None:
    monkeypatch.setattr(checkpoint, "MAX_STATE_BYTES", 100)
    with store.watch(state(5)) as checkpoints:
        if bad is not None:
            store.write(bad)
    with pytest.raises(EngineError, match=reason):
        checkpoints.check()


@pytest.mark.parametrize("bad", [b"", state(4), state(6, lineage="theirs")])
@pytest.mark.parametrize("rescue", [ERRORED_STATE_FILE, "printed"])
def test_a_state_that_terraform_saved_elsewhere_is_enough(
    store: Store, bad: bytes, rescue: str
) -> None:
    with store.watch(state(5)) as checkpoints:
        store.write(bad)
        if rescue == ERRORED_STATE_FILE:
            store.write(state(6), rescue)
        else:
            checkpoints.take_printed(state(6))
    checkpoints.check()


def test_an_apply_without_any_state_may_succeed(store: Store) -> None:
    with store.watch() as checkpoints:
        pass
    checkpoints.check()
