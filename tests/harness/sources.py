"""The sources of our packages, parsed, for tests that read them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Each package may import itself and those that stand before it.
LAYERS = ("db", "quota", "provisioner", "worker", "chattool", "api", "cli")


def modules() -> Iterator[Path]:
    for package in LAYERS:
        yield from sorted((ROOT / package).rglob("*.py"))


@functools.cache
def trees() -> Mapping[str, ast.Module]:
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in modules()}


@functools.cache
def nodes(tree: ast.AST) -> Sequence[ast.AST]:
    """Return all nodes of a tree, which most tests ask for."""
    return tuple(ast.walk(tree))
