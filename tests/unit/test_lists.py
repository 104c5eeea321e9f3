"""Lists: what fits the terminal, how they are sorted and cut, and how they are watched."""

from __future__ import annotations

import io
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
import sqlalchemy.exc
import yaml
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import demo, joblisting, workers, workspacelisting
from cli.listing import Kind, Listing, listing_options
from cli.live import watch
from cli.outline import FILE as OUTLINE
from cli.remote.errors import UnreachableError
from cli.table import WIDE, Column, Look, Row, table_lines, text_of
from cli.yaml import yaml_text
from db.reads.jobs import Job
from db.schema.enums import JobErrorCode, JobStatus
from docs.generator.examples import example_job, example_worker, example_workspace

WIDTHS = (60, 80, 100, 160)
NOW = datetime.now(UTC)


# They print no rows: schemas for an SDK.
OTHER_FORMS = {"tools list"}
LIST_OPTIONS = {"--output", "--sort-by", "--no-headers", "--watch", "--limit"}


def job(number: int, **changes: Any) -> Job:
    created = NOW - timedelta(minutes=5 * number, seconds=20)
    made = example_job(
        uuid.UUID(int=number * 2**124 + number),
        status=JobStatus.RUNNING,
        stage="apply",
        created_at=created,
        started_at=created + timedelta(seconds=2),
        worker_name="worker-7f9c6d5b4-x2x8k",
        template_version_name="v3",
    )
    return replace(made, **changes)


def ended(number: int, status: JobStatus, seconds: float, **changes: Any) -> Job:
    made = job(number, status=status, **changes)
    assert made.started_at
    return replace(made, completed_at=made.started_at + timedelta(seconds=seconds))


JOBS = [
    job(1, status=JobStatus.PENDING, stage=None, worker_name=None, started_at=None),
    ended(2, JobStatus.SUCCEEDED, 42),
    ended(3, JobStatus.FAILED, 7, error_code=JobErrorCode.INSUFFICIENT_QUOTA),
    ended(
        4,
        JobStatus.FAILED,
        200,
        workspace_owner_name="bartholomew.featherstonehaugh",
        workspace_name="experiment-of-november",
        queue="builds-3f2a9c0d1e5b7f68",
    ),
]


WORKSPACES = [
    example_workspace(last_build_at=NOW - timedelta(days=3, seconds=20)),
    example_workspace(
        id=uuid.UUID(int=3),
        name="experiment-of-november",
        owner_name="bartholomew.featherstonehaugh",
        template_name="kubernetes-with-gpu",
        status="",
        daily_cost=0,
        build_number=None,
        transition=None,
        job_id=None,
        last_build_at=None,
        is_outdated=False,
    ),
]
WORKERS = [
    example_worker(
        name="worker-7f9c6d5b4-x2x8k",
        hostname="worker-7f9c6d5b4-x2x8k",
        tags={"gpu": "a100", "region": "eu-central-1"},
        queues=["builds-3f2a9c0d1e5b7f68"],
        slots=8,
        running_jobs=3,
        free_slots=5,
        last_seen_at=NOW,
        last_seen_s=4.2,
        version="0.1.0",
    )
]


def lines_of(rows: Sequence[Row], kind: Kind[Row], width: int) -> list[str]:
    return table_lines([as_old(row) for row in rows], kind.columns, Look(width=width))


def as_old(row: Row) -> Row:
    """The row with its times moved, so that ages are the same however long other tests took."""
    passed = datetime.now(UTC) - NOW
    times = {
        field.name: value + passed
        for field in fields(row)
        if isinstance(value := getattr(row, field.name), datetime)
    }
    return replace(row, **times)


LISTS: dict[str, Callable[[int], list[str]]] = {
    "jobs": lambda width: lines_of(JOBS, joblisting.KIND, width),
    "workspaces": lambda width: lines_of(WORKSPACES, workspacelisting.KIND, width),
    "workers": lambda width: lines_of(WORKERS, workers.KIND, width),
}
TABLES = Path(__file__).with_name("tables.txt")


def snapshots() -> dict[str, str]:
    """Return the texts of the file by their headings, such as ``jobs 60``."""
    parts = re.split(r"^== (\w+ \d+)\n", TABLES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (text.rstrip("\n") for text in parts[1::2]), strict=True))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", LISTS)
def test_a_table_fits_the_terminal(name: str, width: int) -> None:
    lines = LISTS[name](width)

    assert max(map(len, lines)) <= width
    assert "\n".join(lines) == snapshots()[f"{name} {width}"]


def test_the_demo_shows_whole_error_codes_on_80_columns() -> None:
    refused = job(1, workspace_name="variables", quota_budget=10, quota_credits_consumed=10)
    code = JobErrorCode.REQUIRED_TEMPLATE_VARIABLES

    lines = table_lines([replace(refused, error_code=code)], demo.COLUMNS, Look())

    assert max(map(len, lines)) <= 80
    assert lines[1].endswith(code)


def test_a_wide_table_has_all_columns_and_whole_ids() -> None:
    heading, first, *_ = table_lines(JOBS, joblisting.COLUMNS, Look(width=60, wide=True))

    assert [name for name in joblisting.COLUMNS if name not in heading] == []
    assert str(JOBS[0].id) in first


def test_a_table_for_a_pipe_is_not_cut() -> None:
    lines = table_lines(JOBS, joblisting.COLUMNS, Look())

    assert "bartholomew.featherstonehaugh/experiment-of-november" in lines[-1]


def test_a_cell_that_is_cut_says_so() -> None:
    lines = table_lines(JOBS, joblisting.COLUMNS, Look(width=60))

    assert "…" in lines[-1]


def test_wide_characters_take_two_columns() -> None:
    rows = [replace(WORKSPACES[0], name="箱"), WORKSPACES[0]]

    heading, *lines = table_lines(rows, workspacelisting.COLUMNS, Look())

    ends = [line.index("alice") for line in lines]
    assert heading.index("OWNER") == ends[1] == ends[0] + 1


def test_a_cell_cannot_drive_the_terminal() -> None:
    assert text_of("a\x1b[31m\tb\nc") == "a[31m bc"


def test_a_colour_does_not_move_a_column() -> None:
    coloured = table_lines(JOBS, joblisting.COLUMNS, Look(coloured=True))

    assert "\x1b[32m" in coloured[2]
    assert [click.unstyle(line) for line in coloured] == table_lines(
        JOBS, joblisting.COLUMNS, Look()
    )


def test_a_time_is_local_and_names_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert text_of(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 04:04:05 CET"
    finally:
        monkeypatch.undo()
        time.tzset()


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=50)
@given(JSON_VALUES)
def test_yaml_says_the_same_as_json(document: object) -> None:
    assert yaml.safe_load(yaml_text(document)) == document


@pytest.mark.parametrize(
    "text", ["no", "1e3", "1_000", "0x1f", "~", "2026-01-02", "a: b", "- a", "é", "12:30:45", "."]
)
def test_yaml_quotes_what_a_reader_could_take_for_something_else(text: str) -> None:
    assert yaml.safe_load(yaml_text({text: text})) == {text: text}


@dataclass(frozen=True)
class Pet:
    name: str
    legs: int | None


PETS = [Pet("cat", 4), Pet("snake", None), Pet("Bird", 2)]
PET: Kind[Pet] = Kind(
    plural="pets",
    columns={"NAME": lambda pet: pet.name, "LEGS": Column(lambda pet: pet.legs, WIDE)},
    name=lambda pet: f"pet/{pet.name}",
)


@click.command()
@listing_options(PET)
def pets(listing: Listing[Pet]) -> None:
    listing.print(lambda limit: PETS[:limit])


def listed(*arguments: str) -> Result:
    return CliRunner().invoke(pets, list(arguments))


@pytest.mark.parametrize(
    ("column", "order"),
    [
        pytest.param("name", ["Bird", "cat", "snake"], id="texts without case"),
        pytest.param("-name", ["snake", "cat", "Bird"], id="downwards"),
        pytest.param("LEGS", ["Bird", "cat", "snake"], id="numbers, and those without last"),
        pytest.param("-legs", ["cat", "Bird", "snake"], id="those without last downwards, too"),
    ],
)
def test_a_list_is_sorted_by_a_column(column: str, order: list[str]) -> None:
    result = listed("--sort-by", column, "--output", "json")

    assert [row["name"] for row in json.loads(result.stdout)] == order


def test_a_list_cannot_be_sorted_by_an_unknown_column() -> None:
    result = listed("--sort-by", "age")

    assert result.exit_code == 2
    assert "there are name, legs" in result.stderr


def test_a_list_of_names_holds_what_commands_take() -> None:
    assert listed("-o", "name").stdout.splitlines() == ["pet/cat", "pet/snake", "pet/Bird"]


def test_a_list_without_headings_has_only_rows() -> None:
    assert listed("--no-headers").stdout.splitlines() == ["cat", "snake", "Bird"]


def test_a_list_as_yaml_has_the_fields_of_json() -> None:
    assert yaml.safe_load(listed("-o", "yaml").stdout) == json.loads(listed("-o", "json").stdout)


@pytest.mark.parametrize("output", ["table", "wide", "name", "json", "yaml"])
def test_a_list_that_was_cut_says_so(output: str) -> None:
    result = listed("--limit", "2", "-o", output)

    assert "Only 2 pets are listed" in result.stderr
    assert "Bird" not in result.stdout


def test_a_list_that_is_whole_does_not_speak_of_more() -> None:
    assert listed("--limit", "3").stderr == ""


class Terminal(io.StringIO):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 5 lines."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "5")
    return Terminal()


def interrupted_after(pauses: int) -> Callable[[float], None]:
    """Return a sleep that is interrupted by Ctrl+C when it is called for the last time."""
    left = iter(range(pauses))

    def sleep(_seconds: float) -> None:
        if next(left) == pauses - 1:
            raise KeyboardInterrupt

    return sleep


def test_a_watch_draws_again_until_it_is_interrupted(terminal: Terminal) -> None:
    drawings = iter([["first"], ["second"], ["third"]])

    watch(lambda: next(drawings), terminal, sleep=interrupted_after(2))

    assert "first" in terminal.getvalue()
    assert "second" in terminal.getvalue()
    assert "third" not in terminal.getvalue()


def test_a_watch_leaves_nothing_on_the_screen(terminal: Terminal) -> None:
    watch(lambda: ["rows"], terminal, sleep=interrupted_after(1))

    before, _, after = terminal.getvalue().partition("rows")
    assert before.startswith("\x1b[?1049h")  # the alternate screen
    assert after.endswith("\x1b[?25h\x1b[?1049l")  # the cursor, and the screen as it was


def test_a_watch_fits_the_height_of_the_terminal(terminal: Terminal) -> None:
    watch(lambda: [f"row {number}" for number in range(9)], terminal, sleep=interrupted_after(1))

    assert "row 2" in terminal.getvalue()
    assert "row 3" not in terminal.getvalue()
    assert "and 6 more" in terminal.getvalue()


@pytest.mark.parametrize(
    "outage",
    [
        sqlalchemy.exc.OperationalError("", {}, psycopg.OperationalError("gone")),
        UnreachableError("https://example.com", "Connection refused"),
    ],
    ids=["database", "server"],
)
def test_a_watch_outlives_what_it_reads_from(terminal: Terminal, outage: Exception) -> None:
    answers: Iterator[Exception | list[str]] = iter([outage, ["up"]])

    def draw() -> list[str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch(draw, terminal, sleep=interrupted_after(2))

    assert "up" in terminal.getvalue()


def test_a_watch_needs_a_terminal() -> None:
    with pytest.raises(click.ClickException, match="--watch needs a terminal"):
        watch(lambda: ["rows"], io.StringIO())


def test_every_list_takes_the_options_of_lists() -> None:
    lacking = {
        path: LIST_OPTIONS - {name for option in entry["params"] for name in option["names"]}
        for path, entry in json.loads(OUTLINE.read_text()).items()
        if path.endswith(" list") and path not in OTHER_FORMS
    }
    assert {path: names for path, names in lacking.items() if names} == {}
