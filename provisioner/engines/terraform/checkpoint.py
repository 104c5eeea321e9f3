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
from provisioner.engines.port import EngineError
from provisioner.engines.terraform.files import replace_file
from provisioner.host.reading import OversizedFileError, read_file
from provisioner.host.workdir import ERRORED_STATE_FILE, STATE_FILE

OVERSIZED = f"has more than {MAX_STATE_BYTES // 1024**2} MiB"
FOREIGN = "has another lineage than the workspace's"
OLDER = "is older than the workspace's"
INCOMPLETE = "is not complete"
MISSING = "is missing"
UNREADABLE = "cannot be read"
"""Why a state file was not taken."""
KEPT = frozenset({OVERSIZED, FOREIGN})
"""The reasons for which the file may be the only record of what was made: it is put aside."""

UNWRITABLE_POLLS = 3
"""Terraform rewrites the file within milliseconds: it is not incomplete by chance that often."""


class Checkpoints:
    """Watches the state file of a directory within a ``with`` block.

    ``deliver`` gets each new state, at most one per ``interval``, from the watcher's thread. If it
    raises, ``warn`` gets one sentence for consecutive failures, the state is passed again at the
    next interval, and the apply goes on. The last state is ``newest`` and is not delivered: the
    caller stores it together with the result, and until then it is on disk for recovery.
    ``make_room`` is called when the state file stays incomplete, which means that Terraform has no
    room for it, and before a printed state is written. After the block, ``loss`` says why the state
    that Terraform left is not ``newest``, if it is not.
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
        self.loss = ""
        self._newest = base or None
        self._has_base = bool(base)
        self._newest_parsed = read_state(base)
        self._delivered = self._newest
        self._printed: bytes | None = None
        self._incomplete = 0  # polls since the state file was complete
        self._is_oversized = False
        self._fails = False  # the last delivery failed, and a warning was logged
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="checkpoints", daemon=True)

    @property
    def newest(self) -> bytes | None:
        """The newest state that was read, or the one before the apply; None if there is none."""
        return self._newest

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
        reason = self._take_file(STATE_FILE)
        # Later, so that it replaces a state file of the same serial.
        errored = self._take_file(ERRORED_STATE_FILE)
        if self._printed is not None and not self._take(self._printed):
            self._keep(self._printed)
            errored = ""
        if errored and not (reason == MISSING and not self._has_base):
            self.loss = errored if errored in KEPT else reason

    def check(self) -> None:
        """Refuse a state that could not be taken: the next build would not know what was made.

        Raises:
            EngineError: Terraform, which succeeded, left such a state.
        """
        if self.loss:
            message = f"terraform apply: the state {self.loss}, so it cannot be stored"
            if self.loss in KEPT:
                message += "; the worker keeps its file among the orphaned states"
            raise EngineError(message)

    def poll(self) -> None:
        """Read the state file once; deliver it if it is new, complete and of this history."""
        self._note(is_complete=self._take_file(STATE_FILE) != INCOMPLETE)
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

    def _take_file(self, name: str) -> str:
        """Take the state in a file; return why not, ``""`` if it was taken."""
        try:
            data = read_file(self._directory, name, limit=MAX_STATE_BYTES)
        except OversizedFileError:
            if not self._is_oversized:
                self._is_oversized = True
                self._warn(f"The state {OVERSIZED}, so it cannot be stored")
            return OVERSIZED
        except FileNotFoundError:
            return MISSING
        except OSError:
            return UNREADABLE
        return self._take(data)

    def _take(self, data: bytes) -> str:
        """Make it the newest state if it is one of this history; return why not."""
        if data == self._newest:
            return ""
        state = read_state(data)
        if state is None:
            return INCOMPLETE
        if reason := self._refusal(state):
            return reason
        self._newest, self._newest_parsed = data, state
        return ""

    def _refusal(self, state: State) -> str:
        before = self._newest_parsed
        if before is None:
            return ""
        if state.lineage != before.lineage:
            return FOREIGN
        return OLDER if state.serial < before.serial else ""

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
