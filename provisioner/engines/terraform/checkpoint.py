"""Copy the state file while Terraform runs, so that a crash loses no resources.

Terraform truncates the file and writes it in place: a reader can see an empty or partial file,
and a kill can leave one. A file is used only if it is complete, has the same lineage as the
state before it, and has no lower serial. The same holds for the state that Terraform prints when
it can write neither the state file nor ``errored.tfstate``, as on a full disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from db.jobs.statefiles import MAX_STATE_BYTES
from db.jobs.states import State, read_state
from provisioner.engines.terraform.files import replace_file
from provisioner.host.reading import OversizedFileError, read_file
from provisioner.host.workdir import ERRORED_STATE_FILE, STATE_FILE

TOO_LARGE = f"has more than {MAX_STATE_BYTES // 1024**2} MiB, so it cannot be stored"
KEPT = "the worker keeps its file among the orphaned states"
UNWRITABLE_POLLS = 3
"""Terraform rewrites the file within milliseconds: it is not incomplete by chance that often."""


class Checkpoints:
    """Watches the state file of a directory within a ``with`` block.

    ``deliver`` gets each new state, at most one per ``interval``, from the watcher's thread. If it
    raises, ``warn`` gets one sentence for consecutive failures, the state is passed again at the
    next interval, and the apply goes on. The last state is ``newest`` and is not delivered: the
    caller stores it together with the result, and until then it is on disk for recovery.
    ``make_room`` is called when the state file stays incomplete, which means that Terraform has no
    room for it, and before a printed state is written.
    """

    def __init__(
        self,
        directory: Path,
        *,
        base: bytes | None,
        deliver: Callable[[bytes], None],
        warn: Callable[[str], None],
        make_room: Callable[[], None] = lambda: None,
        interval: timedelta = timedelta(seconds=1),
    ) -> None:
        self._directory = directory
        self._deliver = deliver
        self._warn = warn
        self._make_room = make_room
        self._interval_s = interval.total_seconds()
        self._newest = base or None
        self._newest_parsed = read_state(base)
        self._delivered = self._newest
        self._printed: bytes | None = None
        self._incomplete = 0  # polls since the state file was complete
        self._oversized: set[str] = set()  # names of files
        self._fails = False  # the last delivery failed, and a warning was logged
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="checkpoints", daemon=True)

    @property
    def newest(self) -> bytes | None:
        """The newest state that was read, or the one before the apply; None if there is none."""
        return self._newest

    @property
    def is_oversized(self) -> bool:
        """Whether the last state that Terraform wrote is too large to be stored."""
        return bool(self._oversized)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._watcher.join()
        self._take_file(STATE_FILE)
        # Later, so that it replaces a state file of the same serial.
        self._take_file(ERRORED_STATE_FILE)
        if self._printed is not None and self._take(self._printed):
            self._keep(self._printed)

    def poll(self) -> None:
        """Read the state file once; deliver it if it is new, complete and of this history."""
        self._note(is_complete=self._take_file(STATE_FILE))
        if self._newest is not None and self._newest != self._delivered:
            self._offer(self._newest)

    def take_printed(self, data: bytes) -> None:
        """Take the state that Terraform printed because it could not write it.

        It becomes ``newest`` when the block ends, and is written to disk if there is room by now,
        so that recovery finds it if this process ends before it is stored.
        """
        self._printed = data

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.poll()

    def _note(self, *, is_complete: bool) -> None:
        self._incomplete = 0 if is_complete else self._incomplete + 1
        if self._incomplete == UNWRITABLE_POLLS:
            self._warn("Terraform cannot write its state; see whether the worker's disk is full")
            self._make_room()

    def _keep(self, data: bytes) -> None:
        self._make_room()
        with suppress(OSError):
            replace_file(self._directory / ERRORED_STATE_FILE, data)

    def _take_file(self, name: str) -> bool:
        """Take the state in a file; return False if there is a file that is not a whole state."""
        try:
            data = read_file(self._directory, name, limit=MAX_STATE_BYTES)
        except OversizedFileError:
            if not self._oversized:
                self._warn(f"The state {TOO_LARGE}")
            self._oversized.add(name)
            return True
        except OSError:
            return True
        self._oversized.discard(name)
        return self._take(data) or read_state(data) is not None

    def _take(self, data: bytes) -> bool:
        """Make it the newest state if it is one of this history; return whether it is."""
        if data == self._newest:
            return True
        state = read_state(data)
        if state is None or not self._follows(state):
            return False
        self._newest, self._newest_parsed = data, state
        return True

    def _follows(self, state: State) -> bool:
        before = self._newest_parsed
        if before is None:
            return True
        return state.lineage == before.lineage and state.serial >= before.serial

    def _offer(self, state: bytes) -> None:
        try:
            self._deliver(state)
        except Exception as error:  # noqa: BLE001 -- logged and tried again; the apply must go on
            if not self._fails:
                # Only its type: the text of a database error may contain the state.
                kind = type(error).__name__
                self._warn(f"A checkpoint of the Terraform state could not be stored ({kind})")
            self._fails = True
        else:
            self._fails = False
            self._delivered = state
