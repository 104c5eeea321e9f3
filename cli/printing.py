"""Rows and facts on standard output: a table for people, JSON and YAML for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from cli.table import Columns, Look, Row, plain, table_lines, text_of, text_width
from cli.yaml import yaml_text

TABLE = "table"
JSON = "json"
YAML = "yaml"
BAR_WIDTH = 40
DOCUMENTS = frozenset({JSON, YAML})  #: the forms for programs


def print_rows(
    rows: Sequence[Row],
    columns: Columns[Row],
    *,
    output: str,
    kind: str,
    document: Callable[[Row], object] = asdict,
) -> None:
    """Print rows: every field of them as a document, the columns as a table of full width.

    Args:
        columns: heading and cell of each column.
        kind: the plural noun for the rows.
        document: returns the JSON object of a row.
    """
    if output in DOCUMENTS:
        print_document([document(row) for row in rows], output)
    elif not rows:
        click.echo(f"There are no {kind}.", err=True)
    else:
        for line in table_lines(rows, columns, Look(wide=True, coloured=is_coloured())):
            click.echo(line)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print facts, one on each line; facts without a value are left out."""
    shown = {name: value for name, value in facts.items() if value not in {None, ""}}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name:<{width}}  {text_of(value, whole=True)}")


def print_bars(lengths: Sequence[tuple[str, float]], *, unit: str) -> None:
    """Print named lengths as bars, the longest one over the whole width."""
    longest = max((length for _name, length in lengths), default=0.0) or 1.0
    names = max((text_width(name) for name, _length in lengths), default=0)
    figures = [f"{length:.2f} {unit}" for _name, length in lengths]
    width = max(map(len, figures), default=0)
    for (name, length), figure in zip(lengths, figures, strict=True):
        bar = "█" * round(BAR_WIDTH * length / longest)
        click.echo(f"{plain(name):<{names}}  {figure:>{width}}  {bar}".rstrip())


def print_json(document: object) -> None:
    """Print one JSON document; times are in RFC 3339."""
    click.echo(_json(document, indent=2))


def print_document(document: object, output: str) -> None:
    """Print one document as JSON, or as YAML with the same names and values."""
    if output == YAML:
        click.echo(yaml_text(json.loads(_json(document))))
    else:
        print_json(document)


def is_coloured() -> bool:
    """Return whether standard output shows colours: a terminal, without NO_COLOR."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not is_plain


def terminal_width() -> int | None:
    """Return the width of the terminal on standard output; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _json(document: object, *, indent: int | None = None) -> str:
    return json.dumps(document, indent=indent, default=_json_value)


def _json_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
