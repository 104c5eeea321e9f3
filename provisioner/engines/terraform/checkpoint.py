"""Copy the state file while Terraform runs, so that a crash loses no resources.

Terraform truncates the file and writes it in place: a reader can see an empty or partial file,
and a kill can leave one. A file is used only if it is complete, has the same lineage as the
state before it, and has no lower serial.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from db.jobs.states import State, read_state
from provisioner.host.workdir import ERRORED_STATE_FILE, STATE_FILE


class Checkpoints:
    """Watches the state file of a directory within a ``with`` block.

    ``deliver`` gets each new state, at most one per ``interval``, from the watcher's thread. If it
    raises, ``warn`` gets one sentence for consecutive failures, the state is passed again at the
    next interval, and the apply goes on. The last state is ``newest`` and is not delivered: the
    caller stores it together with the result, and until then it is on disk for recovery.
    """

    def __init__(
        self,
        directory: Path,
        *,
        base: bytes | None,
        deliver: Callable[[bytes], None],
        warn: Callable[[str], None],
        interval: timedelta = timedelta(seconds=1),
    ) -> None:
        self._directory = directory
        self._deliver = deliver
        self._warn = warn
        self._interval_s = interval.total_seconds()
        self._newest = base or None
        self._newest_parsed = read_state(base)
        self._delivered = self._newest
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
        self._take(STATE_FILE)
        self._take(ERRORED_STATE_FILE)  # last, so that it replaces a state file of the same serial

    def poll(self) -> None:
        """Read the state file once; deliver it if it is new, complete and of this history."""
        self._take(STATE_FILE)
        if self._newest is not None and self._newest != self._delivered:
            self._offer(self._newest)

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.poll()

    def _take(self, name: str) -> None:
        try:
            data = (self._directory / name).read_bytes()
        except OSError:
            return
        if data == self._newest:
            return
        state = read_state(data)
        if state is not None and self._follows(state):
            self._newest, self._newest_parsed = data, state

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
