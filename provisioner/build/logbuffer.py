"""The log of a running build: buffered, stored in batches, bounded in memory and in size.

A log above the limit keeps its head and its tail, and a line in between says how much was left
out: the head shows what the build did, the tail why it failed. Writing never blocks and never
fails, so neither a verbose template nor a slow database slows the build down.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from db.errors import LeaseLostError
from db.jobs.logs import LINE_LIMIT, LogRow
from db.schema.enums import LogLevel, LogSource, Stage
from db.schema.tables import LOG_LIMIT_BYTES
from db.texts import storable

FLUSH_INTERVAL_S = 0.25
# After a pause, the first line waits only for those that come with it. The log of a build that ends
# within this time is stored with its end.
GATHER_S = 0.005
BATCH_LINES = 1000
# Reserved for the line that reports what was left out, and for the daemon's own last lines.
RESERVE_BYTES = 16 * 1024
STAGE_LIMIT = 128

# Size in bytes, time since the epoch, and the rest of a row. Most lines of a verbose build are left
# out in the end: making rows only of the lines that are kept takes half the time.
_Line = tuple[int, float, LogSource, LogLevel, str, str]
StoreLogs = Callable[[Sequence[LogRow], bool, Stage], None]


class LogBuffer:
    """Takes lines from any thread and stores them from its own thread.

    Args:
        store: writes one batch (rows, whether lines were left out, how far the job is). It may
            wait for the database.
        stored_bytes: how much earlier attempts of the job have stored.
        limit_bytes: how much the job may store in total.
    """

    def __init__(
        self,
        store: StoreLogs,
        *,
        stored_bytes: int = 0,
        limit_bytes: int = LOG_LIMIT_BYTES,
    ) -> None:
        self._store = store
        room = max(0, limit_bytes - stored_bytes - RESERVE_BYTES)
        self._head_room = room // 2
        self._tail_room = room - room // 2
        self._head: list[_Line] = []
        self._tail: deque[_Line] = deque()
        self._tail_bytes = 0
        self._dropped_lines = 0
        self._dropped_bytes = 0
        self._head_is_full = False
        self._lost = False
        self._unstored: list[LogRow] = []
        self.stored_lines = 0
        self._job_stage = self._stored_stage = Stage.SET_UP
        self._stage = "Setting up"
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._has_lines = threading.Event()  # or the log ends
        self._thread = threading.Thread(target=self._flush_until_closed, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped_lines(self) -> int:
        """How many lines have been left out so far."""
        return self._dropped_lines

    def enter_stage(self, name: str, stage: Stage | None = None) -> None:
        """Put the following lines under the log stage ``name``.

        Args:
            stage: the stage of the job row, stored with the next lines; None leaves it unchanged.
        """
        self._stage = name[:STAGE_LIMIT]
        self._job_stage = stage or self._job_stage

    def write(
        self, level: LogLevel, output: str, *, source: LogSource = LogSource.PROVISIONER
    ) -> None:
        """Take one line. A line that is too long for a row becomes several."""
        now = time.time()
        if len(output) <= LINE_LIMIT and output.isascii() and "\x00" not in output:
            self._take((len(output) + 1, now, source, level, self._stage, output))
            return
        for piece in _pieces(output):
            # The line end counts: a build that writes only empty lines must reach the limit too.
            self._take((len(piece.encode()) + 1, now, source, level, self._stage, piece))

    def close(self) -> None:
        """Store the remaining lines. Returns when they are stored or the lease is lost."""
        self._store_in_batches(self.take_rest())

    def take_rest(self) -> Sequence[LogRow]:
        """End the log and return its last batch, for the transaction that finishes the job.

        Lines that do not fit into one batch are stored first. When the lease may be lost, all are
        returned: the result may still be stored, and no line is left out then.
        """
        self._closing.set()
        self._has_lines.set()
        self._thread.join()
        rest = [*self._unstored, *self._rest()]
        if self._lost:
            return rest
        last = (len(rest) - 1) // BATCH_LINES * BATCH_LINES
        self._store_in_batches(rest[:last])
        return rest[last:]

    def go_on(self) -> None:
        """Store lines again after the lease was lost only by appearance."""
        self._lost = False

    def _take(self, line: _Line) -> None:
        size = line[0]
        with self._lock:
            if not self._head_is_full and size <= self._head_room:
                self._head_room -= size
                self._head.append(line)
                if not self._has_lines.is_set():
                    self._has_lines.set()
                return
            self._head_is_full = True
            self._tail.append(line)
            self._tail_bytes += size
            while self._tail_bytes > self._tail_room:
                dropped = self._tail.popleft()[0]
                self._tail_bytes -= dropped
                self._dropped_bytes += dropped
                self._dropped_lines += 1

    def _flush_until_closed(self) -> None:
        while not self._closing.is_set():
            self._has_lines.wait(FLUSH_INTERVAL_S)
            if self._closing.wait(GATHER_S):
                return
            self._has_lines.clear()
            rows = [*self._take_unstored(), *self._take_head()]
            if not rows and self._job_stage is not self._stored_stage:
                self._store_batch([])
            self._store_in_batches(rows)
            if rows:
                self._closing.wait(FLUSH_INTERVAL_S)

    def _take_unstored(self) -> list[LogRow]:
        if self._lost:
            return []
        rows, self._unstored = self._unstored, []
        return rows

    def _take_head(self) -> list[LogRow]:
        with self._lock:
            lines, self._head = self._head, []
        return [_row(line) for line in lines]

    def _rest(self) -> list[LogRow]:
        with self._lock:
            lines = [*self._head, *self._left_out(), *self._tail]
            self._head, self._tail = [], deque()
        return [_row(line) for line in lines]

    def _left_out(self) -> Iterator[_Line]:
        if self._dropped_lines:
            text = (
                f"[{self._dropped_lines} lines ({self._dropped_bytes} bytes) are left out here:"
                " the log of a build keeps its first and its last half MiB]"
            )
            yield (
                0,
                self._tail[0][1] if self._tail else time.time(),
                LogSource.PROVISIONER_DAEMON,
                LogLevel.WARN,
                self._stage,
                text,
            )

    def _store_in_batches(self, rows: Sequence[LogRow]) -> None:
        for start in range(0, len(rows), BATCH_LINES):
            self._store_batch(rows[start : start + BATCH_LINES])

    def _store_batch(self, batch: Sequence[LogRow]) -> None:
        if self._lost:
            self._unstored.extend(batch)
            return
        stage = self._job_stage
        try:
            self._store(batch, self._dropped_lines > 0, stage)
            self.stored_lines += len(batch)
            self._stored_stage = stage
        except LeaseLostError:
            # Another attempt may write the job's log now.
            self._lost = True
            self._unstored.extend(batch)
        except Exception:  # noqa: BLE001 - logged by what stores
            # Lines that cannot be stored must not fail the build.
            self._dropped_lines += len(batch)


def _row(line: _Line) -> LogRow:
    _size, at, source, level, stage, output = line
    return LogRow(
        created_at=datetime.fromtimestamp(at, UTC),
        source=source,
        level=level,
        stage=stage,
        output=output,
    )


def _pieces(output: str) -> Iterator[str]:
    """Split a line into pieces of the column's width."""
    clean = storable(output)
    for start in range(0, max(1, len(clean)), LINE_LIMIT):
        yield clean[start : start + LINE_LIMIT]
