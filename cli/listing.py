"""Lists: how all of them are printed, sorted, cut and watched."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Generic

import click

from api.reads.asking import Read
from cli.live import watch
from cli.options import limit_option
from cli.printing import DOCUMENTS, JSON, TABLE, YAML, is_coloured, print_document, terminal_width
from cli.source import source
from cli.table import Column, Columns, Look, Row, table_lines

WIDE = "wide"
NAME = "name"
FORMS = (TABLE, WIDE, NAME, JSON, YAML)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[Row]):
    """What the rows of a list are.

    Args:
        plural: the noun for them.
        name: the reference to one, which other commands take; for ``-o name``.
        document: the object of one for programs.
    """

    plural: str
    columns: Columns[Row]
    name: Callable[[Row], object]
    document: Callable[[Row], object] = asdict
    more: str = "`--limit` shows more"


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[Row]):
    """How the user wants a list."""

    kind: Kind[Row]
    output: str
    headers: bool
    sort_by: str | None
    limit: int
    is_watched: bool

    def print(self, read: Callable[[int], Sequence[Row]]) -> None:
        """Print the rows, once or until Ctrl+C, and say if there are more.

        Args:
            read: returns at most that number of rows.
        """
        if self.is_watched:
            watch(lambda: self._lines(self._read(read)[0]), sys.stdout)
            return
        rows, is_cut = self._read(read)
        self._print(rows)
        if is_cut:
            click.echo(
                f"Only {self.limit} {self.kind.plural} are listed; {self.kind.more}.", err=True
            )

    def print_answers(self, wanted: Callable[..., Read[Any]]) -> None:
        """Print the rows that answer a question, as ``print`` does; each refresh asks again.

        Args:
            wanted: returns the question for at most ``limit`` rows.
        """
        with source() as opened_source:
            self.print(lambda limit: opened_source.read(wanted(limit=limit)))

    def _read(self, read: Callable[[int], Sequence[Row]]) -> tuple[Sequence[Row], bool]:
        # One more shows whether there are more.
        rows = read(self.limit + 1)
        return self._sorted(rows[: self.limit]), len(rows) > self.limit

    def _sorted(self, rows: Sequence[Row]) -> Sequence[Row]:
        if self.sort_by is None:
            return rows
        column = _columns(self.kind)[self.sort_by.removeprefix("-")]
        cell = column.cell if isinstance(column, Column) else column
        filled = [row for row in rows if cell(row) not in {None, ""}]
        downwards = self.sort_by.startswith("-")
        filled.sort(key=lambda row: _order(cell(row)), reverse=downwards)
        return [*filled, *(row for row in rows if cell(row) in {None, ""})]

    def _print(self, rows: Sequence[Row]) -> None:
        if self.output in DOCUMENTS:
            print_document([self.kind.document(row) for row in rows], self.output)
        elif self.output == NAME:
            for row in rows:
                click.echo(str(self.kind.name(row)))
        else:
            if not rows:
                click.echo(f"There are no {self.kind.plural}.", err=True)
            for line in self._lines(rows) if rows else ():
                click.echo(line)

    def _lines(self, rows: Sequence[Row]) -> list[str]:
        look = Look(
            width=terminal_width(),
            headers=self.headers,
            wide=self.output == WIDE,
            coloured=is_coloured(),
        )
        return table_lines(rows, self.kind.columns, look)


def listing_options(
    kind: Kind[Row], *, limit: Callable[[Callable[..., None]], Callable[..., None]] = limit_option
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of lists to a command, which gets them as ``listing``.

    Args:
        limit: the option for the greatest number of rows.
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @limit
        @_sort_option(kind)
        @_HEADERS_OPTION
        @_WATCH_OPTION
        @_OUTPUT_OPTION
        @functools.wraps(command)
        def call(*args: Any, watch: bool, output: str, no_headers: bool, **kwargs: Any) -> None:
            if watch and output not in {TABLE, WIDE}:
                raise click.UsageError("--watch works only with table output")
            listing = Listing(
                kind=kind,
                output=output,
                headers=not no_headers,
                sort_by=kwargs.pop("sort_by"),
                limit=kwargs.pop("limit"),
                is_watched=watch,
            )
            command(*args, listing=listing, **kwargs)

        return call

    return add


_HEADERS_OPTION = click.option("--no-headers", is_flag=True, help="Leave out the headings.")
_WATCH_OPTION = click.option(
    "--watch", "-w", is_flag=True, help="Refresh the list every second, until Ctrl+C."
)
_OUTPUT_OPTION = click.option(
    "--output",
    "-o",
    type=click.Choice(FORMS),
    default=TABLE,
    show_default=True,
    help="A table that fits the terminal, or with all columns (wide); names only;"
    " JSON or YAML for programs.",
)


def _sort_option(kind: Kind[Row]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--sort-by",
        metavar="COLUMN",
        callback=lambda _context, parameter, value: _known_column(kind, parameter, value),
        help="Sort by this column; -COLUMN sorts downwards.",
    )


def list_command(
    kind: Kind[Row], wanted: Callable[..., Read[Any]], *, description: str
) -> click.Command:
    """Return the command that prints the answers to a question.

    Args:
        wanted: as for ``print_answers``.
        description: the text of its help.
    """

    @click.command("list", help=description)
    @listing_options(kind)
    def list_(listing: Listing[Row]) -> None:
        listing.print_answers(wanted)

    return list_


def _columns(kind: Kind[Row]) -> Columns[Row]:
    """Return the columns by the names that ``--sort-by`` takes."""
    return {name.lower().replace(" ", "-"): column for name, column in kind.columns.items()}


def _known_column(kind: Kind[Row], parameter: click.Parameter, given: str | None) -> str | None:
    if given is None:
        return None
    name = given.strip().lower().replace(" ", "-")
    known = _columns(kind)
    if name.removeprefix("-") not in known:
        raise click.BadParameter(
            f"{given!r} is not a column; there are {', '.join(known)}", param=parameter
        )
    return name


def _order(value: object) -> tuple[int, Any]:
    """Return what cells are sorted by: numbers, lengths of time, then texts."""
    if isinstance(value, int | float):
        return 0, value
    if isinstance(value, timedelta):
        return 1, value
    return 2, str(value).casefold()
