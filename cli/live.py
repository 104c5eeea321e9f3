"""A table on the terminal that is refreshed every second."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
from rich.console import Console, RenderableType
from rich.live import Live

from db.outage import retry_outage

PAUSE_S = 1.0
# How long to wait while the database is away: its restart should not end a watch.
OUTAGE_LIMIT_S = 60.0


def watch(
    draw: Callable[[], RenderableType],
    console: Console,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Refresh the table about every second, until Ctrl+C.

    Raises:
        click.ClickException: the console is not a terminal.
    """
    if not console.is_terminal:
        raise click.ClickException(
            "--watch needs a terminal; for a file or a pipe leave it out to print the list once"
        )
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(_drawn(draw, sleep), refresh=True)
                sleep(PAUSE_S)
    except KeyboardInterrupt:
        return


def _drawn(draw: Callable[[], RenderableType], sleep: Callable[[float], None]) -> RenderableType:
    deadline = time.monotonic() + OUTAGE_LIMIT_S
    return retry_outage(draw, may_go_on=lambda: time.monotonic() < deadline, sleep=sleep)
