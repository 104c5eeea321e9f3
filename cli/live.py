"""A table on the alternate screen of the terminal, refreshed every second."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import click

from cli.remote.errors import AwayError
from db.outage import is_outage, retry_outage

PAUSE_S = 1.0
# How long to wait while the database or the server is away: a restart should not end a watch.
OUTAGE_LIMIT_S = 60.0
_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"


def watch(
    draw: Callable[[], Sequence[str]],
    terminal: TextIO,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show the lines and refresh them about every second, until Ctrl+C; leave nothing behind.

    Raises:
        click.ClickException: ``terminal`` is not one.
    """
    if not terminal.isatty():
        raise click.ClickException(
            "--watch needs a terminal; for a file or a pipe leave it out to print the list once"
        )
    try:
        with _alternate_screen(terminal):
            while True:
                _show(terminal, _drawn(draw, sleep))
                sleep(PAUSE_S)
    except KeyboardInterrupt:
        return


@contextmanager
def _alternate_screen(terminal: TextIO) -> Iterator[None]:
    # The terminal must get its screen back on SIGTERM, too.
    previous = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    _write(terminal, _ENTER)
    try:
        yield
    finally:
        _write(terminal, _LEAVE)
        signal.signal(signal.SIGTERM, previous)


def _drawn(draw: Callable[[], Sequence[str]], sleep: Callable[[float], None]) -> Sequence[str]:
    deadline = time.monotonic() + OUTAGE_LIMIT_S
    return retry_outage(
        draw,
        may_go_on=lambda: time.monotonic() < deadline,
        sleep=sleep,
        is_temporary=lambda error: is_outage(error) or isinstance(error, AwayError),
    )


def _show(terminal: TextIO, lines: Sequence[str]) -> None:
    height = shutil.get_terminal_size().lines
    if len(lines) > height - 1:
        hidden = len(lines) - (height - 2)
        lines = [*lines[: height - 2], f"and {hidden} more, for which the terminal is too short"]
    # Over the old lines: a cleared screen would flicker.
    _write(terminal, "\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in lines) + "\x1b[J")


def _write(terminal: TextIO, text: str) -> None:
    terminal.write(text)
    terminal.flush()
