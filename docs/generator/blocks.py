"""Generated blocks of a page that is otherwise written by hand.

A block stands between two comments, which name it and end it:

    <!-- generated: NAME -->
    ...
    <!-- end of NAME -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Blocks = Mapping[str, Callable[[], str]]


class BlockError(ValueError):
    """A page does not have exactly the blocks that are made for it."""


def fill(text: str, blocks: Blocks) -> str:
    """Return the page with each of its blocks made from the code.

    Raises:
        BlockError: a block is missing, is there twice, or nobody makes it.
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
