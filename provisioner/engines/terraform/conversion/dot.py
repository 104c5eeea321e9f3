"""Read the graph that ``terraform graph`` prints in the DOT language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provisioner.engines.graph import Graph

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_EDGE = re.compile(rf"^\s*{_QUOTED} -> {_QUOTED}\s*;?$", re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)")


def read_graph(dot: str) -> Graph:
    """Return the graph in the output of ``terraform graph -type=plan``.

    Its nodes are named by their addresses, such as ``module.m.coder_app.code`` or ``local.image``.
    What is not an edge is left out.
    """
    return Graph(_edges(dot))


def _edges(dot: str) -> Iterator[tuple[str, str]]:
    for found in _EDGE.finditer(dot):
        yield _address(found[1]), _address(found[2])


def _address(node: str) -> str:
    """Return the address of a node that is called, say, ``[root] coder_agent.dev (expand)``."""
    plain = _ESCAPED.sub(r"\1", node) if "\\" in node else node
    return plain.removeprefix("[root] ").removesuffix(" (expand)")
