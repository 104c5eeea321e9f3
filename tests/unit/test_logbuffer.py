from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.errors import LeaseLostError
from db.jobs.logs import LINE_LIMIT, LogRow, logs_size
from db.schema.enums import LogLevel, LogSource, Stage
from db.schema.tables import LOG_LIMIT_BYTES
from provisioner.build import logbuffer
from provisioner.build.logbuffer import (
    BATCH_LINES,
    RESERVE_BYTES,
    STAGE_LIMIT,
    LogBuffer,
)
from tests.harness.threads import run_together
from tests.harness.waiting import wait_until

DEADLINE_S = 20


class Stored:
    """Takes what a buffer stores."""

    def __init__(self) -> None:
        self.rows: list[LogRow] = []
        self.batches: list[int] = []
        self.overflowed = False
        self.arrived = threading.Event()

    def __call__(self, rows: Sequence[LogRow], overflowed: bool, stage: Stage) -> None:  # noqa: ARG002
        self.rows += rows
        self.batches.append(len(rows))
        self.overflowed = overflowed
        self.arrived.set()

    @property
    def lines(self) -> list[str]:
        return [row.output for row in self.rows]


def stored_by(write: Callable[[LogBuffer], None], **limits: int) -> Stored:
    stored = Stored()
    buffer = LogBuffer(stored, **limits)
    write(buffer)
    buffer.close()
    return stored


def test_lines_are_stored_in_order_with_level_source_and_stage() -> None:
    def write(buffer: LogBuffer) -> None:
        buffer.enter_stage("Planning")
        buffer.write(LogLevel.WARN, "one")
        buffer.write(LogLevel.INFO, "two", source=LogSource.PROVISIONER_DAEMON)

    assert [(row.stage, row.level, row.source, row.output) for row in stored_by(write).rows] == [
        ("Planning", LogLevel.WARN, LogSource.PROVISIONER, "one"),
        ("Planning", LogLevel.INFO, LogSource.PROVISIONER_DAEMON, "two"),
    ]


@pytest.mark.parametrize(
    ("lines", "before", "last"),
    [
        (0, 0, 0),
        (1, 0, 1),
        (BATCH_LINES, 0, BATCH_LINES),
        (BATCH_LINES + 1, BATCH_LINES, 1),
    ],
)
def test_whoever_writes_the_end_of_a_job_gets_the_last_batch(
    monkeypatch: pytest.MonkeyPatch, lines: int, before: int, last: int
) -> None:
    monkeypatch.setattr(logbuffer, "GATHER_S", 3600)
    stored = Stored()
    buffer = LogBuffer(stored)
    for _ in range(lines):
        buffer.write(LogLevel.INFO, "x")
    rest = buffer.take_rest()
    assert (len(stored.rows), len(rest)) == (before, last)


def test_the_first_line_is_stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logbuffer, "FLUSH_INTERVAL_S", 3600)
    stored = Stored()
    buffer = LogBuffer(stored)
    buffer.write(LogLevel.INFO, "early")
    assert stored.arrived.wait(DEADLINE_S)
    buffer.close()
    assert stored.lines == ["early"]


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("", [""]),
        ("a\x00b", ["a\u2400b"]),
        ("\udc80", ["?"]),
        ("x" * (LINE_LIMIT + 1), ["x" * LINE_LIMIT, "x"]),
        ("\u00e9" * LINE_LIMIT, ["\u00e9" * LINE_LIMIT]),
    ],
    ids=["empty", "nul", "surrogate", "too long", "wide"],
)
def test_a_line_becomes_rows_that_the_table_takes(line: str, rows: list[str]) -> None:
    assert stored_by(lambda buffer: buffer.write(LogLevel.INFO, line)).lines == rows


def test_the_name_of_a_stage_is_cut_to_its_column() -> None:
    def write(buffer: LogBuffer) -> None:
        buffer.enter_stage("s" * 500)
        buffer.write(LogLevel.INFO, "x")

    assert stored_by(write).rows[0].stage == "s" * STAGE_LIMIT


def test_a_flood_is_stored_in_batches() -> None:
    def write(buffer: LogBuffer) -> None:
        for _ in range(BATCH_LINES * 2 + 1):
            buffer.write(LogLevel.INFO, "x")

    assert max(stored_by(write).batches) <= BATCH_LINES


def flood(buffer: LogBuffer) -> None:
    for number in range(20_000):
        buffer.write(LogLevel.INFO, f"{number:0100}")


def test_an_overflow_keeps_the_first_lines() -> None:
    assert stored_by(flood).lines[0] == f"{0:0100}"


def test_an_overflow_keeps_the_last_lines() -> None:
    assert stored_by(flood).lines[-1] == f"{19_999:0100}"


def test_an_overflow_is_marked() -> None:
    assert stored_by(flood).overflowed


def test_an_overflow_says_how_many_lines_are_left_out() -> None:
    lines = stored_by(flood).lines
    said = [line for line in lines if line.startswith("[")]
    assert said == [line for line in lines if f"[{20_000 - len(lines) + 1} lines (" in line]
    assert len(said) == 1


def test_a_log_within_the_limit_is_not_marked() -> None:
    assert not stored_by(lambda buffer: buffer.write(LogLevel.INFO, "x")).overflowed


def test_empty_lines_meet_the_limit_too() -> None:
    def write(buffer: LogBuffer) -> None:
        for _ in range(30_000):
            buffer.write(LogLevel.INFO, "")

    assert len(stored_by(write, limit_bytes=RESERVE_BYTES + 1000).rows) <= 1001


@settings(max_examples=25, deadline=None)
@given(
    lines=st.lists(st.text(max_size=300), max_size=200),
    room=st.integers(0, 5000),
    before=st.integers(0, LOG_LIMIT_BYTES),
)
def test_nothing_is_stored_above_the_limit(lines: list[str], room: int, before: int) -> None:
    def write(buffer: LogBuffer) -> None:
        for line in lines:
            buffer.write(LogLevel.INFO, line)

    limit = before + RESERVE_BYTES + room
    stored = stored_by(write, stored_bytes=before, limit_bytes=limit)
    assert before + logs_size(stored.rows) <= limit


def test_after_a_lost_lease_nothing_more_is_stored() -> None:
    calls = []

    def lose(rows: Sequence[LogRow], overflowed: bool, stage: Stage) -> None:
        calls.append(len(rows))
        raise LeaseLostError(uuid.uuid4())

    buffer = LogBuffer(lose)
    for _ in range(BATCH_LINES * 3):
        buffer.write(LogLevel.INFO, "x")
    buffer.close()
    assert len(calls) == 1


def test_lines_that_a_lost_lease_kept_from_being_stored_are_in_the_last_batch() -> None:
    tried = threading.Event()

    def lose(rows: Sequence[LogRow], overflowed: bool, stage: Stage) -> None:
        tried.set()
        raise LeaseLostError(uuid.uuid4())

    buffer = LogBuffer(lose)
    buffer.write(LogLevel.INFO, "first")
    assert tried.wait(DEADLINE_S)
    buffer.write(LogLevel.INFO, "second")
    assert [row.output for row in buffer.take_rest()] == ["first", "second"]


def test_a_batch_that_cannot_be_stored_costs_its_own_lines_alone() -> None:
    stored, refused = Stored(), threading.Event()

    def store(rows: Sequence[LogRow], overflowed: bool, stage: Stage) -> None:
        if not refused.is_set():
            refused.set()
            raise ValueError("not these")
        stored(rows, overflowed, stage)

    buffer = LogBuffer(store)
    buffer.write(LogLevel.INFO, "bad")
    assert refused.wait(DEADLINE_S)
    buffer.write(LogLevel.INFO, "good")
    buffer.close()
    assert stored.lines[0] == "good"
    assert stored.lines[1].startswith("[1 lines (")


def test_lines_may_come_from_many_threads() -> None:
    def write(buffer: LogBuffer) -> None:
        def write_many() -> None:
            for _ in range(500):
                buffer.write(LogLevel.INFO, "x")

        run_together([write_many] * 4)

    assert len(stored_by(write).rows) == 2000


def test_lines_of_a_lease_that_was_lost_by_appearance_are_stored_in_order() -> None:
    stored = Stored()
    is_lost = threading.Event()

    def store(rows: Sequence[LogRow], overflowed: bool, stage: Stage) -> None:
        if not is_lost.is_set():
            is_lost.set()
            raise LeaseLostError(uuid.uuid4())
        stored(rows, overflowed, stage)

    buffer = LogBuffer(store)
    buffer.write(LogLevel.INFO, "first")
    assert is_lost.wait(DEADLINE_S)
    buffer.write(LogLevel.INFO, "second")

    def are_stored() -> bool:
        buffer.go_on()
        return stored.arrived.is_set()

    wait_until(are_stored, "the lines", within_s=DEADLINE_S)
    buffer.close()
    assert stored.lines == ["first", "second"]
