"""One job's log and its followers: what each of them has not been sent yet."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from db.reads.contract import ProvisionerJobLog
from db.reads.joblog import LogReading

BATCHES_KEPT = 16  #: for a follower that reads slowly


class HubClosedError(Exception):
    """The process shuts down, or the database was away for too long: the client must resume."""


@dataclass(frozen=True)
class Line:
    """A log line, and its JSON, which is made once for all followers."""

    id: int
    json: str

    @classmethod
    def of(cls, line: ProvisionerJobLog) -> Line:
        """Return the line with its JSON."""
        return cls(line.id, line.model_dump_json())


@dataclass(frozen=True)
class Batch:
    """The next lines of a log."""

    lines: Sequence[Line]
    is_last: bool

    @classmethod
    def of(cls, reading: LogReading) -> Batch:
        """Return what was read, with the JSON of each line."""
        return cls([Line.of(line) for line in reading.lines], reading.is_complete)


@dataclass(eq=False)
class Follower:
    """What one client has not been sent yet."""

    is_behind: bool  #: it must read from the database
    batches: deque[Batch] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    failure: HubClosedError | None = None

    def offer(self, batch: Batch) -> None:
        """Keep a batch for the follower, unless it reads from the database anyway."""
        if len(self.batches) >= BATCHES_KEPT:
            self.fall_behind()
        elif not self.is_behind:
            self.batches.append(batch)
        self.woken.set()

    def fall_behind(self) -> None:
        """Let the follower read from the database what it has not been sent."""
        self.batches.clear()
        self.is_behind = True

    def fail(self, failure: HubClosedError) -> None:
        """End the stream without an end of the log."""
        self.failure = failure
        self.woken.set()


@dataclass(eq=False)
class Feed:
    """The reader of one job's log, and its followers."""

    job_id: uuid.UUID
    cursor: int
    followers: set[Follower] = field(default_factory=set)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    is_complete: bool = False
