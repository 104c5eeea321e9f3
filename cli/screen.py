"""The terminal as rich sees it, for lines of logs and a status line."""

from __future__ import annotations

import sys

from rich.console import Console

# A line in a pipe must not be wrapped at the width of a terminal.
PIPE_WIDTH = 10_000


def screen(*, err: bool = False) -> Console:
    """Return a console on standard output or standard error; in a pipe it does not wrap."""
    stream = sys.stderr if err else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else PIPE_WIDTH,
        highlight=False,
        soft_wrap=not stream.isatty(),
    )
