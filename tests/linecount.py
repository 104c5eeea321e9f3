"""Counts the lines of our code that run in this process; ``coverage`` reports them.

    pytest -p tests.linecount ... && coverage combine && coverage report

Each statement notes its line when it runs, and an ``except`` when it catches something. A tracer
would make libraries slower, too: with that of coverage on Python 3.11, the tests take a quarter
more processor time.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import coverage

ROOT = Path(__file__).resolve().parents[1]
NOTES = "_lines_that_ran"

_notes: dict[str, bytearray] = {}
"""For each file, a byte for each line: 1 if it ran."""


class CountingLoader(SourceFileLoader):
    """Loads a module whose statements note their lines. Never from bytecode, which has no notes."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = noting(ast.parse(self.get_data(path), path))
        return compile(tree, path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        source = Path(self.path).read_bytes()
        notes = bytearray(source.count(b"\n") + 2)
        setattr(module, NOTES, _notes.setdefault(self.path, notes))
        super().exec_module(module)


class CountingFinder(MetaPathFinder):
    """Finds the modules of some packages."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = frozenset(packages)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self.packages:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = CountingLoader(fullname, spec.loader.path)
        return spec


def noting(tree: ast.Module) -> ast.Module:
    """Return the tree with a note before each statement."""
    for node in list(ast.walk(tree)):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                setattr(node, name, list(_noted(statements)))
        if isinstance(node, ast.ExceptHandler):
            node.body.insert(0, _note(node.lineno, node.body[0]))
        elif isinstance(node, ast.match_case):
            node.body.insert(0, _note(node.pattern.lineno, node.body[0]))
    return ast.fix_missing_locations(tree)


def _noted(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for index, statement in enumerate(statements):
        decorators = getattr(statement, "decorator_list", ())
        lines = {*(found.lineno for found in decorators), statement.lineno}
        notes = [_note(line, statement) for line in sorted(lines)]
        if index == 0 and _is_text(statement):
            yield statement  # a docstring has to be first
        elif isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            yield from (statement, *notes)
        else:
            yield from (*notes, statement)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _note(line: int, place: ast.stmt) -> ast.stmt:
    notes = ast.Name(NOTES, ast.Load())
    target = ast.Subscript(notes, ast.Constant(line), ast.Store())
    return ast.copy_location(ast.Assign([target], ast.Constant(1)), place)


def pytest_load_initial_conftests() -> None:
    """Count from the first import of our code on."""
    sys.meta_path.insert(0, CountingFinder(_packages()))


def pytest_unconfigure() -> None:
    """Write what ran beside what other processes write, and the names of all other files."""
    data = coverage.CoverageData(str(_option("run:data_file")), suffix=True)
    data.add_lines(
        {path: [line for line, ran in enumerate(notes) if ran] for path, notes in _notes.items()}
    )
    data.touch_files(
        [str(path) for package in _packages() for path in (ROOT / package).rglob("*.py")]
    )
    data.write()


def _packages() -> Sequence[str]:
    packages = _option("run:source")
    assert isinstance(packages, list)
    return packages


def _option(name: str) -> object:
    """Return an option of coverage's configuration."""
    return coverage.Coverage().get_option(name)
