"""The states of a worker's shutdown, shared by all of its processes.

SIGTERM or SIGINT: claim nothing more, and let running builds finish. After the drain time, or on
a second signal: builds before apply go back to the queue; builds in apply are interrupted, and
their state is stored.
"""

from __future__ import annotations

import mmap
import threading
import time
from enum import IntEnum


class DrainState(IntEnum):
    """How far the shutdown has come."""

    WORKING = 0
    DRAINING = 1  #: claim nothing more
    HURRYING = 2  #: end the running builds


class DrainFlag:
    """One byte of memory that forked children share with their parent.

    A byte needs no lock, so a signal handler may set it. Create it before the fork.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)
        self._never = threading.Event()

    @property
    def state(self) -> DrainState:
        """How far the shutdown has come."""
        return DrainState(self._byte[0])

    @property
    def is_draining(self) -> bool:
        """Whether the shutdown has begun."""
        return self.state is not DrainState.WORKING

    def advance(self) -> DrainState:
        """Go to the next state, if there is one, and return the new state."""
        state = DrainState(min(self._byte[0] + 1, DrainState.HURRYING))
        self._byte[0] = state
        return state

    def wait_for(self, state: DrainState, interval_s: float) -> None:
        """Return once the shutdown has reached ``state``."""
        while self.state < state:
            self.pause(interval_s)

    def wait_within(self, state: DrainState, timeout_s: float, interval_s: float) -> bool:
        """Return whether the shutdown reached ``state`` within the time."""
        end = time.monotonic() + timeout_s
        while self.state < state and time.monotonic() < end:
            self.pause(interval_s)
        return self.state >= state

    def pause(self, interval_s: float) -> None:
        """Wait for ``interval_s`` seconds."""
        self._never.wait(interval_s)
