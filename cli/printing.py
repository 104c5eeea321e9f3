"""Rows on standard output: a table for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")
Columns = Mapping[str, Callable[[Row], object]]

JSON = "json"
# A table in a pipe must not be wrapped at the width of a terminal.
PIPE_WIDTH = 10_000
BAR_WIDTH = 40
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_STYLES: Mapping[str, str] = {
    "succeeded": "green",
    "running": "green",
    "ok": "green",
    "failed": "red",
    "problem": "red",
    "offline": "dim",
    "warning": "yellow",
    "pending": "yellow",
}


def print_rows(
    rows: Sequence[Row],
    columns: Columns[Row],
    *,
    output: str,
    kind: str,
    document: Callable[[Row], object] = asdict,
) -> None:
    """Print rows: every field of them as JSON, the columns as a table.

    Args:
        columns: heading and cell of each column.
        kind: the plural noun for the rows.
        document: returns the JSON object of a row.
    """
    if output == JSON:
        print_json([document(row) for row in rows])
        return
    if not rows:
        click.echo(f"There are no {kind}.", err=True)
        return
    screen().print(rows_table(rows, columns))


def rows_table(rows: Sequence[Row], columns: Columns[Row]) -> Table:
    """Return rows as a table."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(cell(row)) for cell in columns.values()))
    return table


def print_bars(lengths: Sequence[tuple[str, float]], *, unit: str) -> None:
    """Print named lengths as bars, the longest one over the whole width."""
    longest = max((length for _name, length in lengths), default=0.0)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(width=BAR_WIDTH)
    for name, length in lengths:
        # Bar divides by the size, so it must not be 0.
        bar = Bar(longest or 1.0, 0, length, width=BAR_WIDTH)
        table.add_row(_cell(name), _cell(f"{length:.2f} {unit}"), bar)
    screen().print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print facts, one on each line; facts without a value are left out."""
    shown = {name: value for name, value in facts.items() if value not in {None, ""}}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name:<{width}}  {_cell(value).plain}")


def print_json(document: object) -> None:
    """Print one JSON document; times are in RFC 3339."""
    click.echo(json.dumps(document, indent=2, default=_json_value))


def screen(*, err: bool = False) -> Console:
    """Return a console on standard output or standard error; in a pipe it does not wrap."""
    stream = sys.stderr if err else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else PIPE_WIDTH,
        highlight=False,
        soft_wrap=not stream.isatty(),
    )


def plain(text: str) -> str:
    """Return text without control characters: a template's output must not drive a terminal."""
    return _CONTROL.sub("", text)


def _cell(value: object) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, datetime):
        return Text(value.strftime("%Y-%m-%d %H:%M:%S"))
    shown = plain(str(value))
    return Text(shown, style=_STYLES.get(shown, ""))


def _json_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
