"""Generated blocks of a page that is otherwise written by hand.

A block is the text between two comments:

    <!-- generated: NAME -->
    ...
    <!-- end of NAME -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Blocks = Mapping[str, Callable[[], str]]


class BlockError(ValueError):
    """The page does not have exactly the expected blocks."""


def fill(text: str, blocks: Blocks) -> str:
    """Return the page with its blocks generated again.

    Raises:
        BlockError: a block is missing, unknown, or on the page twice.
    """
    found = [match["name"] for match in _PATTERN.finditer(text)]
    if sorted(found) != sorted(blocks):
        raise BlockError(f"the page has the blocks {sorted(found)}, not {sorted(blocks)}")
    return _PATTERN.sub(lambda match: _block(match["name"], blocks[match["name"]]()), text)


_PATTERN = re.compile(
    r"<!-- generated: (?P<name>\w+) -->\n(?P<body>.*?)<!-- end of (?P=name) -->", re.DOTALL
)


def _block(name: str, body: str) -> str:
    return f"<!-- generated: {name} -->\n\n{body.strip()}\n\n<!-- end of {name} -->"
