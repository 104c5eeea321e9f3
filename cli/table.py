"""Tables for people: one line a row, as many columns as fit, short IDs, local times and ages."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

import click

from db.texts import seconds_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")

GAP = "  "
WIDE = 9  #: rank of a column that only ``-o wide`` shows
ID_LENGTH = 8  #: characters of an ID that a table shows; commands take any unique prefix
_LEAST_WIDTH = 6  # of a column whose cells are cut
_USUAL_WIDTH = 24  # a longer cell is cut before it pushes out a column
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_COLOURS: Mapping[str, str] = {
    "succeeded": "green",
    "running": "green",
    "busy": "green",
    "ok": "green",
    "active": "green",
    "failed": "red",
    "problem": "red",
    "INSUFFICIENT_QUOTA": "red",
    "warning": "yellow",
    "pending": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
    "deleting": "yellow",
    "canceling": "yellow",
    "draining": "yellow",
    "suspended": "yellow",
    "canceled": "bright_black",
    "offline": "bright_black",
    "stopped": "bright_black",
}


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column that may be left out.

    Of a table that is too wide, those with the highest rank go first; columns of rank 0 stay.
    """

    cell: Callable[[Row], object]
    rank: int


Columns = Mapping[str, Callable[[Row], object] | Column[Row]]
"""The columns of a table by their headings; a plain function is a column of rank 0."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a table is printed.

    Args:
        width: of the terminal; None for no limit.
    """

    width: int | None = None
    headers: bool = True
    wide: bool = False
    coloured: bool = False


def table_lines(rows: Sequence[Row], columns: Columns[Row], look: Look) -> list[str]:
    """Return the lines of a table."""
    ranked = {name: _column(column) for name, column in columns.items()}
    cells = _cells(rows, ranked, look)
    least = {name: text_width(name) if look.headers else 0 for name in cells}
    widths = {name: max([least[name], *map(text_width, cells[name])]) for name in cells}
    if look.width is not None and not look.wide:
        _leave_out(widths, ranked, cells, look.width)
        _narrow(widths, look.width)
    heading = [_line(list(widths), widths, bold=look.coloured)] if look.headers else []
    return heading + [
        _line([cells[name][index] for name in widths], widths, coloured=look.coloured)
        for index in range(len(rows))
    ]


def _cells(
    rows: Sequence[Row], columns: Mapping[str, Column[Row]], look: Look
) -> dict[str, list[str]]:
    """Return the texts of the columns that are shown."""
    return {
        name: [text_of(column.cell(row), whole=look.wide) for row in rows]
        for name, column in columns.items()
        if look.wide or column.rank < WIDE
    }


def text_of(value: object, *, whole: bool = False) -> str:
    """Return a cell as text.

    Args:
        whole: do not shorten IDs.
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    if isinstance(value, timedelta):
        return seconds_text(value.total_seconds())
    if isinstance(value, uuid.UUID) and not whole:
        return str(value)[:ID_LENGTH]
    return plain(str(value)).expandtabs(1)


def plain(text: str) -> str:
    """Return text without control characters: a template's output must not drive a terminal."""
    return _CONTROL.sub("", text)


def age(moment: datetime | None) -> timedelta | None:
    """Return the time since ``moment``; not less than 0, for clocks that differ."""
    if moment is None:
        return None
    return max(datetime.now(UTC) - moment, timedelta())


def text_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _column(column: Callable[[Row], object] | Column[Row]) -> Column[Row]:
    return column if isinstance(column, Column) else Column(column, 0)


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _leave_out(
    widths: dict[str, int],
    columns: Mapping[str, Column[Row]],
    cells: Mapping[str, Sequence[str]],
    width: int,
) -> None:
    """Drop columns that are empty or do not fit."""
    optional = [name for name in widths if columns[name].rank > 0]
    for name in optional:
        if not any(cells[name]):
            del widths[name]
    for name in sorted(optional, key=lambda name: columns[name].rank, reverse=True):
        if _total({name: min(size, _USUAL_WIDTH) for name, size in widths.items()}) <= width:
            return
        widths.pop(name, None)


def _narrow(widths: dict[str, int], width: int) -> None:
    """Take from the widest columns until the table fits."""
    while _total(widths) > width:
        widest = max(widths, key=lambda name: widths[name])
        if widths[widest] <= _LEAST_WIDTH:
            return
        widths[widest] -= 1


def _line(
    texts: Sequence[str], widths: Mapping[str, int], *, bold: bool = False, coloured: bool = False
) -> str:
    padded = []
    for text, width in zip(texts, widths.values(), strict=True):
        cut = _cut(text, width)
        padding = " " * (width - text_width(cut))
        padded.append(_styled(cut, text, bold=bold, coloured=coloured) + padding)
    return GAP.join(padded).rstrip()


def _cut(text: str, width: int) -> str:
    if text_width(text) <= width:
        return text
    while text_width(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _styled(cut: str, text: str, *, bold: bool, coloured: bool) -> str:
    if bold:
        return click.style(cut, bold=True)
    colour = _COLOURS.get(text) if coloured else None
    return click.style(cut, fg=colour) if colour else cut
