"""Split the output of a program into lines."""

from __future__ import annotations

import codecs
from collections.abc import Callable

PIECE = 64 * 1024
"""A longer line is passed on in pieces of this many characters."""

TakeText = Callable[[str], None]


class Lines:
    """Splits a stream of bytes into lines; keeps at most ``PIECE`` characters between calls."""

    def __init__(self, take: TakeText) -> None:
        self._take = take
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, data: bytes) -> None:
        """Pass on the lines that ``data`` completes."""
        *lines, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        for line in lines:
            self._take(self._without_head(line).rstrip("\r") + "\n")
        self._rest = self._without_head(self._rest)

    def end(self) -> None:
        """Pass on the rest as a line."""
        self._rest += self._decoder.decode(b"", final=True)
        if self._rest:
            self._take(self._rest.rstrip("\r") + "\n")
            self._rest = ""

    def _without_head(self, line: str) -> str:
        """Pass on whole pieces of ``line``; return the rest, at most one piece."""
        while len(line) > PIECE:
            self._take(line[:PIECE])
            line = line[PIECE:]
        return line
