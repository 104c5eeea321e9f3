"""The command ``list`` of what a group of commands is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from cli.opening import transaction
from cli.options import limit_option, output_option
from cli.printing import Columns, Row, print_rows


def list_command(
    kind: str, read: Callable[..., Sequence[Row]], columns: Columns[Row], *, description: str
) -> click.Command:
    """Return the command that prints what ``read`` returns.

    Args:
        kind: what the rows are, in the plural.
        read: takes a session and the greatest number of rows.
        description: the text of its help.
    """

    @click.command("list", help=description)
    @limit_option
    @output_option
    def list_(limit: int, output: str) -> None:
        with transaction() as session:
            rows = read(session, limit=limit)
        print_rows(rows, columns, output=output, kind=kind)

    return list_
