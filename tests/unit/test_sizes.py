"""The sizes that keep functions and modules readable. Each test lists all offenders at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.harness.sources import ROOT, nodes, trees

MOST_LINES_OF_A_MODULE = 320
MOST_LINES_OF_A_FUNCTION = 45  # without its docstring


def lengths() -> Iterator[tuple[str, int]]:
    """Yield each function with its number of lines, from `def` to its last one."""
    for path, tree in trees().items():
        for node in nodes(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = lines_of(node.body[0]) if ast.get_docstring(node) is not None else 0
                yield f"{path}:{node.name}", lines_of(node) - docstring


def lines_of(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def test_no_module_is_too_long() -> None:
    counts = {
        path: len((ROOT / path).read_text().splitlines())
        for path in trees()
        if "/migrations/" not in path
    }
    assert {path: count for path, count in counts.items() if count > MOST_LINES_OF_A_MODULE} == {}


def test_no_function_is_too_long() -> None:
    in_code = (found for found in lengths() if "/migrations/" not in found[0])
    assert {name: count for name, count in in_code if count > MOST_LINES_OF_A_FUNCTION} == {}
